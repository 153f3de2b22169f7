/** Where the dashboard begins: theme, session, pages. */
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { SWRConfig } from "swr";
import { askedAgain } from "./again";
import { read } from "./api";
import { App } from "./app";
import { applyTheme } from "./theme";
import { guardHistory } from "./unsaved";
import "./styles.css";

applyTheme();
guardHistory();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <SWRConfig value={{ fetcher: read, revalidateOnFocus: false, keepPreviousData: true, ...askedAgain }}>
      <App />
    </SWRConfig>
  </StrictMode>,
);

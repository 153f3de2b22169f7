/** Where the dashboard begins: theme, session, pages. */
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { SWRConfig } from "swr";
import { Problem, read } from "./api";
import { App } from "./app";
import { applyTheme } from "./theme";
import "./styles.css";

applyTheme();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <SWRConfig
      value={{
        fetcher: read,
        revalidateOnFocus: false,
        keepPreviousData: true,
        shouldRetryOnError: (error) => error instanceof Problem && (error.status === 0 || error.status === 503),
        errorRetryInterval: 2_000,
      }}
    >
      <App />
    </SWRConfig>
  </StrictMode>,
);

/** The session of a page that stays while sessions end and begin. Rule: a new session is another object. */
import { createContext } from "react";
import type { Session } from "./api";

export const SessionContext = createContext<{ session: Session | null; logIn: () => void }>({ session: null, logIn: () => undefined });

/** The console's present, moved on every second, for ages. */
import { useEffect, useState } from "react";
import { presentMs } from "../clock";

export function useNow(everyMs = 1_000): number {
  const [now, setNow] = useState(presentMs);
  useEffect(() => {
    const timer = setInterval(() => setNow(presentMs()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/**
 * The file that this tab uploads. Rule: an upload goes on while its person looks at another page, and what became of it
 * is told when they come back; one at a time, so that nobody sends a file twice because they did not see it going.
 */
import { useSyncExternalStore } from "react";
import { ask } from "./api";
import { holdTab } from "./unsaved";

/** `made` is the import that came of it, until somebody has taken it. */
export interface Upload { name: string; isUnderWay: boolean; made: string | null; trouble: unknown }

const NONE: Upload = { name: "", isUnderWay: false, made: null, trouble: null };
const watchers = new Set<() => void>();
let now = NONE;

function tell(next: Upload): void {
  now = next;
  watchers.forEach((watcher) => watcher());
}

/** Upload a file, unless one is under way. Errors: told in `trouble`. */
export async function upload(file: File): Promise<void> {
  if (now.isUnderWay) return;
  const begun = { ...NONE, name: file.name };
  tell({ ...begun, isUnderWay: true });
  const letTabGo = holdTab();
  try {
    const made = await ask<{ id: string }>(`/imports?filename=${encodeURIComponent(file.name)}`, { method: "POST", body: file, headers: { "Content-Type": "text/csv" } });
    tell({ ...begun, made: made.id });
  } catch (trouble) {
    tell({ ...begun, trouble });
  }
  letTabGo();
}

/** The import that came of it is shown now. */
export function taken(): void {
  tell(NONE);
}

export function uploadNow(): Upload {
  return now;
}

export function useUpload(): Upload {
  return useSyncExternalStore((watcher) => {
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  }, uploadNow, uploadNow);
}

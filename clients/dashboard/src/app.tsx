/** The frame around every page: who is logged in, where one can go, and whether what is shown is live. */
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState, type MouseEvent, type ReactNode } from "react";
import { useSWRConfig } from "swr";
import { Link, Route, Router, Switch, type AroundNavHandler } from "wouter";
import { usePathname } from "wouter/use-browser-location";
import { ask, isLoggedOut, keepToken, Problem, sessionNow, type Session } from "./api";
import { follow, useLink, useRefusal } from "./live";
import { Login } from "./login";
import { Activity } from "./pages/activity";
import { ContactPage } from "./pages/contact";
import { Contacts } from "./pages/contacts";
import { Health } from "./pages/health";
import { Segments } from "./pages/segments";
import { LeaveQuestion } from "./parts/leave-question";
import { ErrorBoundary, Skeleton, Trouble } from "./parts/states";
import { idIn, NEW_SEGMENT, placeOf, PLACES, titleOf } from "./places";
import { SessionContext } from "./session";
import { chooseTheme, chosenTheme, type Theme } from "./theme";
import { leaving, leavingFor } from "./unsaved";

const SegmentPage = lazy(() => import("./pages/segment"));
const Imports = lazy(() => import("./pages/imports"));

export function App() {
  const [session, setSession] = useState<Session | null | undefined>(undefined);
  /** Set once this page's session is over: the session that another tab has begun with another key, if there is one. */
  const [ended, setEnded] = useState<{ other: Session | null } | null>(null);
  const [trouble, setTrouble] = useState("");
  const { mutate } = useSWRConfig();

  const reopen = useCallback((next: Session) => {
    setSession(next);
    setEnded(null);
    void mutate(() => true);
  }, [mutate]);
  // There may be one again already: another tab has logged in. If with another key, a person decides.
  const token = session?.csrf_token;
  const logIn = useCallback(() => void sessionNow().then(
    (next) => (next.csrf_token === token ? reopen(next) : setEnded({ other: next })),
    () => setEnded({ other: null }),
  ), [token, reopen]);
  const context = useMemo(() => ({ session: session ?? null, logIn }), [session, logIn]);

  useEffect(() => {
    void open(setSession, setTrouble);
  }, []);

  if (session === undefined) return <main className="page"><Skeleton lines={6} /></main>;
  if (session === null) return <Login onOpen={setSession} notice={trouble} />;
  keepToken(session.csrf_token);
  return (
    <Router aroundNav={askFirst}>
      <SessionContext value={context}>
        <Frame session={session} isHidden={ended !== null} onEnd={logIn} />
      </SessionContext>
      {ended && <Login key={ended.other?.key_id} onOpen={reopen} other={ended.other} notice={ended.other === null ? ENDED : ""} />}
      <LeaveQuestion />
    </Router>
  );
}

const ENDED = "The session has ended. Log in again, and go on where you were.";

const askFirst: AroundNavHandler = (go, to, options) => leavingFor(String(to), () => go(to, options));

/** Use the session there is, or begin one with a key given in the link's `#key=`, which never leaves the browser. */
async function open(done: (session: Session | null) => void, say: (text: string) => void): Promise<void> {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) history.replaceState(null, "", location.pathname + location.search);
  try {
    done(given ? await ask<Session>("/session", { method: "POST", json: { key: given } }) : await ask<Session>("/session"));
  } catch (error) {
    if (error instanceof Problem && (given || error.status !== 401)) say(error.message);
    done(null);
  }
}

/** `isHidden` while there is no session: what stands in the page waits for the next one. */
function Frame({ session, isHidden, onEnd }: { session: Session; isHidden: boolean; onEnd: () => void }) {
  const { mutate } = useSWRConfig();
  const [isStuck, setStuck] = useState(false);
  useEffect(() => (isHidden ? undefined : follow(() => {
    void mutate(() => true);
    void ask("/session").catch((error: unknown) => { if (isLoggedOut(error)) onEnd(); });
  }, onEnd)), [mutate, onEnd, isHidden]);
  const place = usePathname();
  const here = placeOf(place);
  const content = useRef<HTMLElement>(null);
  const left = useRef(place);
  const isBack = useRef(false);
  useEffect(() => {
    const onBack = () => { isBack.current = location.pathname !== left.current; };
    // Before the router hears of it and shows the other page.
    addEventListener("popstate", onBack, true);
    return () => removeEventListener("popstate", onBack, true);
  }, []);
  useEffect(() => {
    if (left.current === place) return;
    left.current = place;
    // A page that was gone to is read from its top; where it was left the browser shows again by itself.
    if (!isBack.current) scrollTo(0, 0);
    isBack.current = false;
    // Who reads by ear or goes by keys begins where the new page does, unless the page has put them in its input.
    if (!content.current?.contains(document.activeElement)) content.current?.focus({ preventScroll: true });
  }, [place]);

  useEffect(() => {
    // Whoever has logged in again goes on in the page.
    if (isHidden) return () => content.current?.focus({ preventScroll: true });
    document.title = titleOf(place);
    return undefined;
  }, [place, isHidden]);

  /** Not by an address of its own, which would be another page to whatever is kept of this one. */
  function skip(event: MouseEvent) {
    event.preventDefault();
    content.current?.focus();
  }

  async function leave() {
    // Whoever logs out leaves this browser: what another tab has begun ends too.
    const isOver = await sessionNow().then((now) => ask("/session", { method: "DELETE", token: now.csrf_token })).then(() => true, isLoggedOut);
    setStuck(!isOver);
    // Nothing that was read stays: whoever logs in next may not read all that this key could.
    if (isOver) location.reload();
  }

  return (
    <div className="frame" hidden={isHidden}>
      <a className="skip" href="#content" onClick={skip}>Skip to content</a>
      <header className="bar">
        <Link href="/" className="mark"><svg viewBox="0 0 32 32" aria-hidden="true"><path d="M3 12c4.300 0 4.300 3 8.700 3s4.300-3 8.600-3 4.400 3 8.700 3M3 20c4.300 0 4.300 3 8.700 3s4.300-3 8.600-3 4.400 3 8.700 3" /></svg>Tidegate</Link>
        <nav aria-label="Pages">
          {PLACES.map(([href, name]) => (
            <Link key={href} href={href} aria-current={here === href ? "page" : undefined}>{name}</Link>
          ))}
        </nav>
        <LinkState />
        <ThemeChoice />
        <span className="who" title={`Key ${session.key_id}: ${session.scopes.join(", ")}`}>{session.name || session.key_id}</span>
        <button type="button" className="quiet" onClick={() => leaving(() => void leave())}>Log out</button>
      </header>
      <main id="content" ref={content} className="page" tabIndex={-1}>
        {isStuck && <p className="trouble" role="alert"><strong>You are still logged in.</strong> The console did not take the log-out. Try again before you leave this browser to others.</p>}
        <Refusal />
        <ErrorBoundary key={place}>
          <Suspense fallback={<Skeleton lines={8} />}>
            <Switch>
              <Route path="/" component={Segments} />
              <Route path={NEW_SEGMENT}><SegmentPage id={null} /></Route>
              <Route path="/segments/:id"><Named>{(id) => <SegmentPage key={id} id={id} />}</Named></Route>
              <Route path="/contacts" component={Contacts} />
              <Route path="/contacts/:id"><Named>{(id) => <ContactPage key={id} id={id} />}</Named></Route>
              <Route path="/imports" component={Imports} />
              <Route path="/activity" component={Activity} />
              <Route path="/health" component={Health} />
              <Route><NoSuchPage /></Route>
            </Switch>
          </Suspense>
        </ErrorBoundary>
      </main>
    </div>
  );
}

/** The page of the one that the address names. */
function Named({ children }: { children: (id: string) => ReactNode }) {
  const id = idIn(usePathname());
  return id === null ? <NoSuchPage /> : children(id);
}

function LinkState() {
  const link = useLink();
  const says = { connecting: "Connecting", live: "Live", waiting: "Reconnecting", refused: "Not live" }[link];
  const means = link === "live" ? "Counts and changes arrive as they happen" : "Numbers may be old until the stream is open again";
  return <span className="link" data-state={link} role="status" title={means}>{says}</span>;
}

/** Why nothing on the page is live, where it stays so. */
function Refusal() {
  const refusal = useRefusal();
  return refusal && <Trouble error={refusal} of="Nothing here is live" />;
}

function ThemeChoice() {
  const [theme, setTheme] = useState<Theme>(chosenTheme());
  return (
    <select
      aria-label="Theme"
      className="quiet"
      value={theme}
      onChange={(event) => {
        const next = event.target.value as Theme;
        chooseTheme(next);
        setTheme(next);
      }}
    >
      <option value="system">System theme</option>
      <option value="light">Light</option>
      <option value="dark">Dark</option>
    </select>
  );
}

function NoSuchPage() {
  return (
    <section className="empty">
      <h1>There is no such page</h1>
      <p>Its address may be old. <Link href="/">All segments</Link> are a good place to go on.</p>
    </section>
  );
}

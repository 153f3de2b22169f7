/** A segment's members over the last hour as one small line. */
const WIDTH = 96;
const HEIGHT = 22;
const HOUR_MS = 3_600_000;

export function Sparkline({ trend, members, now }: { trend: [number, number][]; members: number | null; now: number }) {
  const points = members === null ? trend : [...trend, [now, members] as [number, number]];
  if (points.length < 2) return <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true"><line x1="0" x2={WIDTH} y1={HEIGHT - 2} y2={HEIGHT - 2} /></svg>;
  const values = points.map(([, value]) => value);
  const low = Math.min(...values);
  const range = Math.max(...values) - low;
  const start = Math.max(now - HOUR_MS, points[0]![0]);
  const x = (at: number) => (WIDTH * Math.max(0, at - start)) / Math.max(1, now - start);
  const y = (value: number) => HEIGHT - 2 - (range === 0 ? (HEIGHT - 4) / 2 : ((HEIGHT - 4) * (value - low)) / range);
  // A count holds until it changes, so the line goes in steps.
  const path = points.map(([at, value], index) => (index === 0 ? `M${x(at)} ${y(value)}` : `H${x(at)}V${y(value)}`)).join("");
  return (
    <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img"
      aria-label={`From ${values[0]} to ${values[values.length - 1]} members since ${new Date(start).toISOString().slice(11, 16)} UTC`}>
      <path d={path} />
    </svg>
  );
}

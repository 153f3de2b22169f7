/** A segment's members over the last hour, drawn by uPlot. */
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

const HEIGHT = 124;

export default function Chart({ trend, members, now }: { trend: [number, number][]; members: number; now: number }) {
  const host = useRef<HTMLDivElement>(null);
  const points: [number, number][] = [...trend, [now, members]];
  const at = points.map(([instant]) => instant / 1_000);
  const values = points.map(([, value]) => value);
  const plot = useRef<uPlot | null>(null);
  const data = useRef<uPlot.AlignedData>([at, values]);
  data.current = [at, values];

  useEffect(() => {
    // Asked at each drawing, since the theme may be exchanged in between.
    const colour = (name: string) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const made = new uPlot(
      {
        width: host.current!.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { y: false },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), "UTC"),
        scales: { x: { range: (_plot, _low, high) => [high - 3_600, high] }, y: { range: (_plot, low, high) => (low === high ? [Math.max(0, low - 1), high + 1] : [Math.max(0, low - (high - low) * 0.1), high + (high - low) * 0.1]) } },
        axes: [{ ...axis, values: (_plot, splits) => splits.map((at) => new Date(at * 1_000).toISOString().slice(11, 16)), incrs: [60, 300, 600, 900] }, { ...axis, size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6, 1e7] }],
        series: [{}, { stroke: colour("--accent"), fill: colour("--wash"), width: 1.5, paths: uPlot.paths.stepped!({ align: 1 }), points: { show: false } }],
      },
      data.current,
      host.current!,
    );
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: host.current!.clientWidth, height: HEIGHT }));
    resized.observe(host.current!);
    return () => {
      resized.disconnect();
      made.destroy();
    };
  }, []);

  useEffect(() => plot.current?.setData(data.current), [trend, members, now]);

  return <div ref={host} className="chart" role="img" aria-label={`Members over the last hour, now ${members}`} />;
}

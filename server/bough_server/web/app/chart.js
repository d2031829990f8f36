/**
 * Charts, by ECharts on a canvas. The library is loaded when the first chart is drawn.
 *
 * Tooltips are drawn on the canvas too (richText): no HTML is made from names or values, and the strict
 * Content-Security-Policy holds. Colours come from the style sheet, and follow it from light to dark.
 */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { html } from "./html.js";

let library = null;
const echarts = () => (library ??= import("echarts"));
const dark = window.matchMedia("(prefers-color-scheme: dark)");

/** The style sheet's colours by their names. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  return {
    text: colour("--quiet"), line: colour("--line"), paper: colour("--paper"), ink: colour("--ink"),
    accent: colour("--accent"), best: colour("--best"), bad: colour("--bad"),
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((n) => colour(`--series-${n}`)),
  };
}

/**
 * @param {{draw: (colours: object) => object, label: string, size?: string, onPick?: (data: any) => void,
 *   onHover?: (data: any | null) => void, onBrush?: (chart: object) => void, onZoom?: (low: number, high: number) => void}} props
 *   draw makes the ECharts option; label is what a screen reader says; onPick gets a clicked datum, onHover the one under
 *   the pointer, onBrush the chart when an area of it was selected, onZoom the x that are shown
 *   (null and null: all). What is zoomed or brushed stays when data come.
 */
export function Chart({ draw, label, size = "", onPick, onHover, onBrush, onZoom }) {
  const place = useRef(null);
  const chart = useRef(null);
  const latest = useRef({});
  latest.current = { draw, onPick, onHover, onBrush, onZoom };

  // Not an effect after the drawing: when the view is left that would end only after the element is gone, and until then
  // a library that has just been loaded would draw into nothing.
  useLayoutEffect(() => {
    let gone = false;
    const paint = () => chart.current?.setOption(latest.current.draw(palette()), { notMerge: true, lazyUpdate: true });
    const observer = new ResizeObserver(() => chart.current?.resize());
    echarts().then(({ init }) => {
      if (gone) return;
      chart.current = init(place.current);
      chart.current.on("click", (event) => latest.current.onPick?.(event.data));
      chart.current.on("mouseover", (event) => latest.current.onHover?.(event.data));
      chart.current.on("mouseout", () => latest.current.onHover?.(null));
      chart.current.on("axisareaselected", () => latest.current.onBrush?.(chart.current));
      chart.current.on("datazoom", () => {
        const [{ start, end, startValue, endValue }] = chart.current.getOption().dataZoom;
        if (start === 0 && end === 100) latest.current.onZoom?.(null, null);
        else latest.current.onZoom?.(startValue, endValue);
      });
      observer.observe(place.current);
      paint();
    });
    dark.addEventListener("change", paint);
    return () => {
      gone = true;
      observer.disconnect();
      dark.removeEventListener("change", paint);
      chart.current?.dispose();
      chart.current = null;
    };
  }, []);

  useEffect(() => {
    chart.current?.setOption(draw(palette()), { replaceMerge: ["series"], lazyUpdate: true });
  }, [draw]);

  return html`<div class="chart ${size}" ref=${place} role="img" aria-label=${label}></div>`;
}

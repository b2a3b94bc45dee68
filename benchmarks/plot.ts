import type { Row, Series } from './report.js';

const WIDTH = 720;
const LEFT = 150;
const BAR = 16;
const COLORS: Readonly<Record<string, string>> = {
  tsbuild: '#1f77b4',
  'docker build': '#ff7f0e',
  buildah: '#9467bd',
};

const escape = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

const text = (x: number, y: number, content: string, more = '') =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escape(content)}</text>`;

const svg = (height: number, body: readonly string[]) =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    ...body,
    '</svg>\n',
  ].join('\n');

/** Bars of each letter, as long as their part of the letter's longest. */
export function plotRows(rows: readonly Row[]): string {
  const body: string[] = [];
  let y = 10;
  for (const row of rows) {
    body.push(text(8, (y += 20), `${row.letter}: ${row.what}`, 'font-weight="bold"'));
    const longest = Math.max(1, ...Object.values(row.medians));
    for (const [name, value] of Object.entries(row.medians)) {
      const length = ((WIDTH - LEFT - 90) * value) / longest;
      body.push(
        text(LEFT - 8, y + BAR + 2, name, 'text-anchor="end"'),
        `<rect x="${LEFT}" y="${y + 6}" width="${length.toFixed(1)}" height="${BAR - 4}" fill="${COLORS[name] ?? '#7f7f7f'}"/>`,
        text(LEFT + length + 6, y + BAR + 2, `${value} ${row.unit}`),
      );
      y += BAR;
    }
    y += 8;
  }
  return svg(y + 20, body);
}

const PANEL = 260;

/** One panel for each series, both axes logarithmic; the dashed line is linear growth from the first point. */
export function plotSeries(series: readonly Series[]): string {
  const panels = series.map((one, i) => plotOne(one, 20 + i * PANEL));
  return svg(20 + series.length * PANEL, panels.flat());
}

function plotOne({ name, points }: Series, top: number): string[] {
  const [first, last] = [points[0]!, points.at(-1)!];
  const linear: readonly [number, number] = [last[0], (first[1] * last[0]) / first[0]];
  const span = (values: readonly number[]) =>
    [Math.log(Math.min(...values)), Math.log(Math.max(...values))] as const;
  const [x0, x1] = span(points.map(([size]) => size));
  const [y0, y1] = span([...points, linear].map(([, ms]) => ms));
  const place = ([size, ms]: readonly [number, number]): [number, number] => [
    LEFT + ((Math.log(size) - x0) / (x1 - x0 || 1)) * (WIDTH - LEFT - 120),
    top + PANEL - 50 - ((Math.log(ms) - y0) / (y1 - y0 || 1)) * (PANEL - 100),
  ];
  const line = (list: readonly (readonly [number, number])[], style: string) =>
    `<polyline points="${list
      .map((point) =>
        place(point)
          .map((n) => n.toFixed(1))
          .join(','),
      )
      .join(' ')}" fill="none" ${style}/>`;
  return [
    text(8, top + 14, name, 'font-weight="bold"'),
    line([first, linear], 'stroke="#7f7f7f" stroke-dasharray="4"'),
    line(points, 'stroke="#1f77b4" stroke-width="2"'),
    ...points.flatMap((point) => {
      const [x, y] = place(point);
      return [
        `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="3" fill="#1f77b4"/>`,
        text(x + 6, y - 6, `${point[0]}: ${Math.round(point[1])} ms`),
      ];
    }),
  ];
}

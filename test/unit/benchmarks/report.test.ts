import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { plotRows, plotSeries } from '../../../benchmarks/plot.js';
import {
  compareReports,
  formatRow,
  formatSeries,
  previousReport,
  ratiosOf,
  type Report,
  type Row,
  rowOf,
} from '../../../benchmarks/report.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const HEAD = { letter: 'A1', what: 'nothing <changed>', unit: 'ms' } as const;
const row = (medians: Readonly<Record<string, number>>): Row => ({
  ...HEAD,
  medians,
  spreads: {},
  values: {},
});
const report = (rows: readonly Row[]): Report => ({ date: '', machine: {}, scale: 1, rows, series: [] });

describe('the report of the benchmarks', () => {
  it('has the median and the spread of what was measured', () => {
    const values = new Map([
      ['tsbuild', [30, 10, 20]],
      ['docker build', [100.4]],
      ['buildah', []],
    ]);
    const measured = rowOf(HEAD, values);
    expect(measured.medians).to.deep.equal({ tsbuild: 20, 'docker build': 100 });
    expect(measured.spreads).to.deep.equal({ tsbuild: 20, 'docker build': 0 });
    expect(measured.values).to.deep.equal({ tsbuild: [30, 10, 20], 'docker build': [100] });
    expect(ratiosOf(measured)).to.deep.equal({ 'docker build': 0.2 });
    expect(formatRow(measured)).to.match(/docker build +100 ms {2}\(once\) {2}tsbuild\/docker build = 0\.20/);
  });

  it('tells linear growth from quadratic', () => {
    const text = formatSeries({
      name: 'files',
      points: [
        [10, 1],
        [100, 10],
        [1000, 1000],
      ],
    });
    expect([...text.matchAll(/exponent (\S+)/g)].map(([, value]) => value)).to.deep.equal(['1.00', '2.00']);
  });

  it('says what became slower, by ratios', () => {
    const before = report([row({ tsbuild: 100, docker: 100, 'node -e 0': 50 })]);
    const busier = report([row({ tsbuild: 200, docker: 200, 'node -e 0': 60 })]);
    expect(compareReports(before, busier)).to.deep.equal([
      '  A1   tsbuild/docker: 1.00 -> 1.00',
      '  A1   tsbuild/node -e 0: 2.00 -> 3.33  SLOWER',
    ]);
    expect(compareReports(busier, before)[1]).to.contain('faster');
    expect(compareReports(report([]), before)).to.deep.equal([]);
  });

  it('compares with the newest report of the same scale', () => {
    const results = tmpDir();
    mkdirSync(results, { recursive: true });
    const keep = (name: string, scale: number) =>
      writeFileSync(join(results, `${name}.json`), JSON.stringify({ ...report([]), date: name, scale }));
    keep('2026-01-01', 1);
    keep('2026-01-02', 1);
    keep('2026-01-03', 0.1);
    writeFileSync(join(results, 'counts.json'), '{"scale":1}');
    expect(previousReport(results, 1)?.date).to.equal('2026-01-02');
    expect(previousReport(results, 2)).to.equal(undefined);
  });
});

describe('the plots of the benchmarks', () => {
  it('have bars as long as their part of the longest, and no raw markup', () => {
    const svg = plotRows([row({ tsbuild: 50, docker: 100 })]);
    const widths = [...svg.matchAll(/<rect x="150"[^>]* width="([\d.]+)"/g)].map(([, width]) =>
      Number(width),
    );
    expect(widths).to.have.length(2);
    expect(widths[0]! * 2).to.be.closeTo(widths[1]!, 0.2);
    expect(svg).to.contain('nothing &lt;changed>').and.not.contain('<changed>');
  });

  it('have every point inside, also of one point alone', () => {
    const svg = plotSeries([
      {
        name: 'steps',
        points: [
          [10, 5],
          [1000, 90],
        ],
      },
      { name: 'one', points: [[1, 1]] },
    ]);
    const [, width, height] = /<svg [^>]*width="(\d+)" height="(\d+)"/.exec(svg)!.map(Number);
    const points = [...svg.matchAll(/<circle cx="([^"]+)" cy="([^"]+)"/g)];
    expect(points).to.have.length(3);
    for (const [, x, y] of points) {
      expect(Number(x)).to.be.within(0, width!);
      expect(Number(y)).to.be.within(0, height!);
    }
  });
});

// Draws a dashboard's JSON with Grafana's own components and the data of a Prometheus:
// ?board=/boards/overview.json&prometheus=http://...&minutes=5. Rows, heatmaps, tables and bars are drawn here: Grafana does not
// publish their panels. Says it is done by the title of the page, for whoever takes the picture.
import React, { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { FieldType, applyFieldOverrides, createTheme, dateTime, getDisplayProcessor, getValueFormat, formattedValueToString, renderMarkdown, toDataFrame } from '@grafana/data';
import { BigValue, ThemeContext, TimeSeries } from '@grafana/ui';

const WIDTH = 1584, CELL = WIDTH / 24, ROW = 34, GAP = 4;
const theme = createTheme({ colors: { mode: 'dark' } });
const parameters = new URLSearchParams(location.search);
const prometheus = parameters.get('prometheus'), minutes = Number(parameters.get('minutes') || 5);
const to = Math.floor(Date.now() / 1000), from = to - minutes * 60, step = Math.max(1, Math.round((minutes * 60) / 200));
const INTERVALS = { __rate_interval: '15s', __interval: `${step}s`, __range: `${minutes}m` };

const filledIn = (expr) =>
  expr.replace(/\$(__rate_interval|__interval|__range)/g, (_, name) => INTERVALS[name]).replace(/\$(job|instance|topic|group|api)\b/g, '.*');

async function query(target, instant) {
  const range = instant ? `query?time=${to}` : `query_range?start=${from}&end=${to}&step=${step}`;
  const answer = await fetch(`${prometheus}/api/v1/${range}&query=${encodeURIComponent(filledIn(target.expr))}`);
  const { data } = await answer.json();
  return (data?.result ?? []).map((series) => ({ ...series, legend: legend(target, series.metric) }));
}

const legend = ({ legendFormat, expr }, labels) => {
  if (legendFormat !== '__auto') return legendFormat.replace(/\{\{(\w+)\}\}/g, (_, name) => labels[name] ?? '');
  const named = Object.entries(labels).filter(([name]) => name !== '__name__').map(([name, value]) => `${name}=${value}`);
  return named.join(' ') || expr;
};

// A base of null is "below everything".
const thresholds = (config) => config && { ...config, steps: config.steps.map((one) => ({ ...one, value: one.value ?? -Infinity })) };

function frames(panel, results) {
  const defaults = { ...panel.fieldConfig.defaults, thresholds: thresholds(panel.fieldConfig.defaults.thresholds) };
  const made = results.filter((series) => series.values).map((series) => {
    const known = new Map(series.values.map(([time, value]) => [time, Number(value)]));
    const times = [];
    for (let time = from; time <= to; time += step) times.push(time);
    return toDataFrame({
      fields: [
        { name: 'Time', type: FieldType.time, values: times.map((time) => time * 1000), config: {} },
        { name: series.legend, type: FieldType.number, values: times.map((time) => known.get(time) ?? null), config: { ...defaults, displayName: series.legend } },
      ],
    });
  });
  return applyFieldOverrides({ data: made, fieldConfig: { defaults, overrides: [] }, theme, replaceVariables: (text) => text, timeZone: 'utc' });
}

const shown = (value, unit) => formattedValueToString(getValueFormat(unit)(value, value !== 0 && Math.abs(value) < 10 ? 2 : 0));

function Stat({ panel, results, width, height }) {
  const [frame] = frames(panel, results);
  if (!frame) return <div className="none">No data</div>;
  const field = frame.fields[1];
  const values = field.values.filter((value) => value != null && !Number.isNaN(value));
  const display = (field.display ?? getDisplayProcessor({ field, theme }))(values.at(-1));
  if (panel.options.textMode === 'name') Object.assign(display, { text: results[0].legend, prefix: '', suffix: '' });
  const range = { min: Math.min(...values), max: Math.max(...values) };
  field.state = { ...field.state, range: { ...range, delta: range.max - range.min } };
  const sparkline = panel.options.graphMode === 'area' ? { y: field, x: frame.fields[0] } : undefined;
  return <BigValue theme={theme} width={width} height={height} value={display} colorMode="value" graphMode={panel.options.graphMode} justifyMode="auto" sparkline={sparkline} />;
}

function Series({ panel, results, width, height }) {
  const data = frames(panel, results);
  if (!data.length) return <div className="none">No data</div>;
  const range = { from: dateTime(from * 1000), to: dateTime(to * 1000), raw: { from: 'now-1h', to: 'now' } };
  const shortLegend = { ...panel.options.legend, calcs: [] };
  return <TimeSeries frames={data} timeRange={range} timeZone="utc" width={width} height={height} legend={shortLegend} options={{}} />;
}

function Heatmap({ panel, results, width, height }) {
  const bound = (series) => (series.metric.le === '+Inf' ? Infinity : Number(series.metric.le));
  const sorted = [...results].sort((one, other) => bound(one) - bound(other));
  if (!sorted.length) return <div className="none">No data</div>;
  let below = new Map(), most = 0;
  const rows = sorted.map((series) => {
    const cells = series.values.map(([time, value]) => [time, Math.max(0, Number(value) - (below.get(time) ?? 0))]);
    below = new Map(series.values.map(([time, value]) => [time, Number(value)]));
    cells.forEach(([, count]) => (most = Math.max(most, count)));
    return { label: bound(series) === Infinity ? '∞' : shown(bound(series), panel.fieldConfig.defaults.unit), cells };
  });
  const left = 60, w = Math.max(1, ((width - left) * step) / (to - from)), h = (height - 18) / rows.length;
  return (
    <svg width={width} height={height}>
      {rows.map((row, index) => (
        <g key={index} transform={`translate(0 ${height - 18 - (index + 1) * h})`}>
          <text x={left - 6} y={h / 2 + 4} fill="#8e8e9c" fontSize="10" textAnchor="end">{row.label}</text>
          {row.cells.filter(([, count]) => count > 0).map(([time, count]) => (
            <rect key={time} x={left + ((width - left) * (time - from)) / (to - from)} width={w} height={h - 1} fill="#ff9830" opacity={0.15 + 0.85 * Math.sqrt(count / most)} />
          ))}
        </g>
      ))}
    </svg>
  );
}

function Rows({ panel, results }) {
  const headings = Object.fromEntries(panel.fieldConfig.overrides.flatMap(({ matcher, properties }) => properties.filter(({ id }) => id === 'displayName').map(({ value }) => [matcher.options, value])));
  const labels = Object.keys(headings).filter((name) => name !== 'Value');
  const sorted = [...results].sort((one, other) => other.value[1] - one.value[1]).slice(0, 7);
  return (
    <table>
      <thead><tr>{[...labels, 'Value'].map((name) => <th key={name}>{headings[name]}</th>)}</tr></thead>
      <tbody>
        {sorted.map((series, index) => (
          <tr key={index}>{labels.map((name) => <td key={name}>{series.metric[name]}</td>)}<td>{shown(Number(series.value[1]), panel.fieldConfig.defaults.unit)}</td></tr>
        ))}
      </tbody>
    </table>
  );
}

function Bars({ panel, results, width }) {
  const most = Math.max(...results.map((series) => Number(series.value[1])), 1);
  const sorted = [...results].sort((one, other) => other.value[1] - one.value[1]).slice(0, 9);
  return sorted.map((series, index) => (
    <div className="bar" key={index}>
      <span className="name" style={{ width: 160 }}>{series.legend}</span>
      <div style={{ width: ((width - 260) * Number(series.value[1])) / most }} />
      <span>{shown(Number(series.value[1]), panel.fieldConfig.defaults.unit)}</span>
    </div>
  ));
}

const KINDS = { stat: Stat, timeseries: Series, heatmap: Heatmap, table: Rows, bargauge: Bars };

function Panel({ panel, results }) {
  const { x, y, w, h } = panel.gridPos;
  const place = { left: x * CELL + GAP / 2, top: y * ROW + GAP / 2, width: w * CELL - GAP, height: h * ROW - GAP };
  if (panel.type === 'row') return <div className="row" style={place}>▾ {panel.title}</div>;
  const Kind = KINDS[panel.type];
  const inner = { width: place.width - 18, height: place.height - 32 };
  return (
    <div className="panel" style={place}>
      <div className="title">{panel.title}</div>
      <div className="body">{Kind ? <Kind panel={panel} results={results} {...inner} /> : <div dangerouslySetInnerHTML={{ __html: renderMarkdown(panel.options.content) }} />}</div>
    </div>
  );
}

function Board() {
  const [state, setState] = useState();
  useEffect(() => {
    (async () => {
      const board = await (await fetch(parameters.get('board'))).json();
      const all = board.panels.map(async (panel) => (await Promise.all((panel.targets ?? []).map((target) => query(target, target.instant)))).flat());
      setState({ board, results: await Promise.all(all) });
      setTimeout(() => (document.title = `done ${document.body.scrollHeight}`), 1500);
    })();
  }, []);
  if (!state) return null;
  const bottom = Math.max(...state.board.panels.map(({ gridPos: { y, h } }) => y + h));
  return (
    <ThemeContext.Provider value={theme}>
      <h1>{state.board.title}</h1>
      <div className="grid" style={{ width: WIDTH, height: bottom * ROW }}>
        {state.board.panels.map((panel, index) => <Panel key={panel.id} panel={panel} results={state.results[index]} />)}
      </div>
    </ThemeContext.Provider>
  );
}

createRoot(document.getElementById('root')).render(<Board />);

// A page with the panels of a dashboard, drawn by Grafana's components from the answers that
// an InfluxDB has given.
import {
  FieldColorModeId,
  Registry,
  applyFieldOverrides,
  createTheme,
  dateTime,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { GlobalStyles, PanelChrome, Table, ThemeContext, TimeRangePicker, TimeSeries } from '@grafana/ui';
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';

import '@fontsource/inter/latin-400.css';
import '@fontsource/inter/latin-500.css';
import dashboard from 'dashboard.json';
import answers from 'answers.json';
import { framesOf } from './frames.js';
import { cell, gap, head, heightOf, width } from './layout.js';

const theme = createTheme({ colors: { mode: 'dark' } });
const range = { from: dateTime(answers.from), to: dateTime(answers.to) };
range.raw = { from: range.from, to: range.to };

standardTransformersRegistry.setInit(() =>
  ['organize', 'renameByRegex'].map((id) => {
    const transformation = Object.values(standardTransformers).find((t) => t.id === id);
    return { id, name: transformation.name, transformation };
  })
);

// What a panel's type has where the dashboard says nothing.
const defaults = {
  timeseries: {
    color: { mode: FieldColorModeId.PaletteClassic },
    custom: { lineWidth: 1, fillOpacity: 0, axisPlacement: 'auto' },
  },
  table: { color: { mode: FieldColorModeId.Thresholds }, custom: { align: 'auto', inspect: false } },
};

// registryOf has the properties that a panel's configuration names, as they are.
function registryOf(config) {
  const ids = new Set(Object.keys(config.defaults));
  ids.delete('custom');
  Object.keys(config.defaults.custom).forEach((key) => ids.add(`custom.${key}`));
  config.overrides.forEach((o) => o.properties.forEach((p) => ids.add(p.id)));
  return new Registry(() =>
    [...ids].map((id) => ({
      id,
      path: id.replace(/^custom\./, ''),
      isCustom: id.startsWith('custom.'),
      name: id,
      process: (value) => value,
      shouldApply: () => true,
    }))
  );
}

// configOf is a panel's configuration with the defaults of its type. The lowest step of
// thresholds has no value in JSON.
function configOf(panel) {
  const own = panel.fieldConfig;
  const config = {
    defaults: { ...defaults[panel.type], ...own.defaults },
    overrides: own.overrides,
  };
  config.defaults.custom = { ...defaults[panel.type].custom, ...own.defaults.custom };
  return JSON.parse(JSON.stringify(config), (key, value) =>
    key === 'steps' ? value.map((step) => ({ ...step, value: step.value ?? -Infinity })) : value
  );
}

function useFrames(panel) {
  const [frames, setFrames] = useState();
  useEffect(() => {
    const raw = panel.targets.flatMap((t) => framesOf(t, answers.answers[panel.id + t.refId]));
    const done = transformDataFrame(panel.transformations ?? [], raw).subscribe((data) => {
      const fieldConfig = configOf(panel);
      setFrames(
        applyFieldOverrides({
          data,
          fieldConfig,
          fieldConfigRegistry: registryOf(fieldConfig),
          replaceVariables: (text) => text,
          theme,
          timeZone: 'utc',
        })
      );
    });
    return () => done.unsubscribe();
  }, [panel]);
  return frames;
}

function Visualisation({ panel, frames, width, height }) {
  if (panel.type === 'table') {
    return (
      <Table
        data={frames[0]}
        width={width}
        height={height}
        initialSortBy={panel.options.sortBy}
        cellHeight={panel.options.cellHeight}
        noHeader={!panel.options.showHeader}
      />
    );
  }
  return (
    <TimeSeries
      frames={frames}
      width={width}
      height={height}
      timeRange={range}
      timeZone="utc"
      structureRev={1}
      legend={panel.options.legend}
      options={panel.options}
    />
  );
}

function Row({ panel }) {
  const box = cell(panel.gridPos);
  const style = { position: 'absolute', left: box.x, top: box.y, lineHeight: `${box.height}px` };
  return <h2 style={{ ...style, fontSize: 16, margin: 0 }}>{panel.title}</h2>;
}

function Panel({ panel }) {
  const frames = useFrames(panel);
  const box = cell(panel.gridPos);
  return (
    <div style={{ position: 'absolute', left: box.x, top: box.y }}>
      <PanelChrome
        title={panel.title}
        description={panel.description}
        width={box.width}
        height={box.height}
        padding={panel.type === 'table' ? 'none' : 'md'}
      >
        {(innerWidth, innerHeight) =>
          frames?.length ? (
            <Visualisation panel={panel} frames={frames} width={innerWidth} height={innerHeight} />
          ) : frames ? (
            <p>No data</p>
          ) : null
        }
      </PanelChrome>
    </div>
  );
}

function Variable({ variable }) {
  const value = variable.current?.text ?? 'InfluxDB';
  return (
    <span style={{ marginLeft: 24, color: theme.colors.text.secondary }}>
      {variable.label}: <span style={{ color: theme.colors.text.primary }}>{value}</span>
    </span>
  );
}

function Head() {
  const nothing = () => {};
  return (
    <div style={{ display: 'flex', alignItems: 'center', height: head, padding: `0 ${gap}px` }}>
      <span style={{ fontSize: 18, fontWeight: 500 }}>{dashboard.title}</span>
      {dashboard.templating.list.map((v) => (
        <Variable key={v.name} variable={v} />
      ))}
      <span style={{ marginLeft: 'auto' }}>
        <TimeRangePicker
          value={range}
          timeZone="utc"
          onChange={nothing}
          onChangeTimeZone={nothing}
          onMoveBackward={nothing}
          onMoveForward={nothing}
          onZoom={nothing}
        />
      </span>
    </div>
  );
}

function Page() {
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ position: 'relative', width, height: heightOf(dashboard.panels) }}>
        <Head />
        {dashboard.panels.map((panel) =>
          panel.type === 'row' ? <Row key={panel.id} panel={panel} /> : <Panel key={panel.id} panel={panel} />
        )}
      </div>
    </ThemeContext.Provider>
  );
}

window.__grafana_public_path__ = '/';
createRoot(document.getElementById('root')).render(<Page />);

// Data frames as Grafana makes them of InfluxDB's answers to InfluxQL: for a time series one
// frame for each series and column, named by the target's alias; for a table one frame with
// the columns Time, tags, values.
import { FieldType, toDataFrame } from '@grafana/data';

export function framesOf(target, answer) {
  const rows = answer.results[0].series ?? [];
  if (rows.length === 0) {
    return [];
  }
  return target.resultFormat === 'table' ? [tableOf(target, rows)] : rows.flatMap((row) => seriesOf(target, row));
}

function tableOf(target, rows) {
  const repeated = (row, value) => row.values.map(() => value);
  const fields = [field('Time', FieldType.time, rows.flatMap((row) => row.values.map((v) => v[0])))];
  for (const tag of Object.keys(rows[0].tags ?? {})) {
    fields.push(field(tag, FieldType.string, rows.flatMap((row) => repeated(row, row.tags[tag]))));
  }
  for (let i = 1; i < rows[0].columns.length; i++) {
    const values = rows.flatMap((row) => row.values.map((v) => v[i]));
    fields.push(field(rows[0].columns[i], typeOf(values), values));
  }
  return toDataFrame({ refId: target.refId, name: rows[0].name, fields });
}

function seriesOf(target, row) {
  return row.columns.slice(1).map((column, i) => {
    const values = row.values.map((v) => v[i + 1]);
    const name = nameOf(target.alias, row, column);
    const value = { ...field('Value', typeOf(values), values), labels: row.tags };
    value.config.displayNameFromDS = name;
    const times = row.values.map((v) => v[0]);
    return toDataFrame({ refId: target.refId, name, fields: [field('Time', FieldType.time, times), value] });
  });
}

function field(name, type, values) {
  return { name, type, values, config: type === FieldType.time ? {} : { displayNameFromDS: name } };
}

function typeOf(values) {
  switch (typeof values.find((v) => v !== null)) {
    case 'string':
      return FieldType.string;
    case 'boolean':
      return FieldType.boolean;
    default:
      return FieldType.number;
  }
}

function nameOf(alias, row, column) {
  return (alias ?? `${row.name}.${column}`).replace(/\$(tag_)?(\w+)/g, (whole, tag, name) => {
    if (tag) {
      return row.tags?.[name] ?? whole;
    }
    return { m: row.name, col: column }[name] ?? whole;
  });
}

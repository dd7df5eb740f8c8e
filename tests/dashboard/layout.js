// Grafana's grid: 24 columns, rows of 30 pixels, 8 between panels.
export const width = 1600;
export const gap = 8;
export const head = 48;

const columns = 24;
const row = 30;

// cell is where a panel is on the page.
export function cell({ x, y, w, h }) {
  const column = (width - gap) / columns;
  return {
    x: Math.round(gap + x * column),
    y: head + y * (row + gap),
    width: Math.round(w * column - gap),
    height: h * (row + gap) - gap,
  };
}

export function heightOf(panels) {
  return Math.max(...panels.map((p) => cell(p.gridPos)).map((c) => c.y + c.height)) + gap;
}

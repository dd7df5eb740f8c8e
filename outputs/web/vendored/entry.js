// What the page cannot do without of others' modules, bundled into assets/vendor.js: see
// README.md. Graphs and the editor are bundles of their own, loaded behind the first paint.
export { h, render } from "preact";
export { useState, useEffect, useLayoutEffect, useMemo, useRef, useCallback, useReducer } from "preact/hooks";
export { default as htm } from "htm";

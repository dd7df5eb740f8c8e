// What the page uses of others' modules, bundled into one file: see README.md beside it.
export { h, render } from "preact";
export { useState, useEffect, useLayoutEffect, useMemo, useRef, useCallback, useReducer } from "preact/hooks";
export { default as htm } from "htm";
import * as core from "echarts/core";
import { LineChart, BarChart, HeatmapChart, SankeyChart } from "echarts/charts";
import { GridComponent, TooltipComponent, DataZoomComponent, BrushComponent, ToolboxComponent, MarkLineComponent,
	MarkAreaComponent, VisualMapComponent, AriaComponent } from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";
core.use([LineChart, BarChart, HeatmapChart, SankeyChart, GridComponent, TooltipComponent, DataZoomComponent,
	BrushComponent, ToolboxComponent, MarkLineComponent, MarkAreaComponent, VisualMapComponent, AriaComponent,
	CanvasRenderer]);
export const echarts = core;
export { EditorView, keymap, placeholder, drawSelection, highlightSpecialChars } from "@codemirror/view";
export { EditorState, Compartment, Prec } from "@codemirror/state";
export { autocompletion, completionKeymap, closeBrackets, closeBracketsKeymap, startCompletion } from "@codemirror/autocomplete";
export { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
export { linter, lintKeymap, forceLinting } from "@codemirror/lint";
export { StreamLanguage, syntaxHighlighting, HighlightStyle, bracketMatching } from "@codemirror/language";
export { tags } from "@lezer/highlight";

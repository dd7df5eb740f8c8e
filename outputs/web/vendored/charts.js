// What draws graphs, bundled into assets/echarts.js.
import * as core from "echarts/core";
import { LineChart, BarChart, HeatmapChart, SankeyChart } from "echarts/charts";
import { GridComponent, TooltipComponent, DataZoomComponent, BrushComponent, ToolboxComponent, MarkLineComponent,
	MarkAreaComponent, VisualMapComponent, AriaComponent } from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";
core.use([LineChart, BarChart, HeatmapChart, SankeyChart, GridComponent, TooltipComponent, DataZoomComponent,
	BrushComponent, ToolboxComponent, MarkLineComponent, MarkAreaComponent, VisualMapComponent, AriaComponent,
	CanvasRenderer]);
export const echarts = core;

// What the console's charts are put together from; everything else of ECharts stays out.
export { init, use } from "echarts/core";
import { use } from "echarts/core";
import { BarChart, HeatmapChart, LineChart, RadarChart, SankeyChart, ScatterChart, TreemapChart } from "echarts/charts";
import { AriaComponent, GridComponent, LegendComponent, MarkLineComponent, RadarComponent, TooltipComponent, VisualMapComponent } from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";
use([BarChart, HeatmapChart, LineChart, RadarChart, SankeyChart, ScatterChart, TreemapChart, AriaComponent, GridComponent, LegendComponent, MarkLineComponent, RadarComponent, TooltipComponent, VisualMapComponent, CanvasRenderer]);

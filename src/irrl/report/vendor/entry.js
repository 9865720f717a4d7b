// What the report needs of Apache ECharts, and no more.
import * as core from "echarts/core";
import { CustomChart, LineChart } from "echarts/charts";
import { DataZoomComponent, GridComponent, TooltipComponent } from "echarts/components";
import { SVGRenderer } from "echarts/renderers";

core.use([CustomChart, LineChart, DataZoomComponent, GridComponent, TooltipComponent, SVGRenderer]);
export const init = core.init;
export const version = core.version;

import { registerRootComponent } from "expo";

import "./polyfills";

import { Screen } from "./Screen";

registerRootComponent(Screen);

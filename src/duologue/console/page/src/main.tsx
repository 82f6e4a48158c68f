import { render } from "preact";
import { App } from "./parts/App";
import { followCall } from "./audio/engine";
import { follow, me } from "./store";
import "leaflet/dist/leaflet.css";
import "./style.css";

follow();
followCall(() => me.value);
render(<App />, document.getElementById("app")!);

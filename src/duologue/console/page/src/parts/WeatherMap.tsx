// The map: the outline of the land comes with the page, street tiles appear where the network has them.

import L from "leaflet";
import { useEffect, useRef } from "preact/hooks";
import { feature } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import landUrl from "world-atlas/land-50m.json?url";
import type { WeatherView } from "../types.gen";

const TILES = "https://tile.openstreetmap.org";
const OUTLINE_ZOOM = 4;
const STREET_ZOOM = 9;

/** Plain images, so that no `data:` placeholder is needed and the content policy can stay strict. */
const Streets = L.GridLayer.extend({
  createTile(at: L.Coords, done: L.DoneCallback): HTMLElement {
    const tile = document.createElement("img");
    tile.alt = "";
    tile.onload = () => done(undefined, tile);
    tile.onerror = () => done(new Error("no tile"), tile);
    tile.src = `${TILES}/${at.z}/${at.x}/${at.y}.png`;
    return tile;
  },
}) as unknown as new (options: L.GridLayerOptions) => L.GridLayer;

let land: Promise<GeoJSON.GeoJsonObject> | null = null;

function loadLand(): Promise<GeoJSON.GeoJsonObject> {
  land ??= fetch(landUrl)
    .then((answer) => answer.json() as Promise<Topology<{ land: GeometryCollection }>>)
    .then((world) => feature(world, world.objects.land) as GeoJSON.GeoJsonObject);
  return land;
}

export function WeatherMap({ place, label }: { place: WeatherView | undefined; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const map = useRef<L.Map | null>(null);
  const marker = useRef<L.Marker | null>(null);
  const streets = useRef(false);

  useEffect(() => {
    const view = L.map(box.current!, { attributionControl: true, zoomControl: true, worldCopyJump: true });
    view.setView([30, 10], 1);
    view.attributionControl.setPrefix(false);
    map.current = view;
    void loadLand().then((outline) => {
      const style = { className: "land", weight: 1 };
      if (map.current === view) L.geoJSON(outline, { style, interactive: false }).addTo(view);
    });
    const tiles = new Streets({ attribution: "© OpenStreetMap contributors", minZoom: 6, maxZoom: 19, opacity: 0.9 });
    tiles.on("tileload", () => {
      streets.current = true;
      box.current?.classList.add("streets");
    });
    tiles.addTo(view);
    const watch = new ResizeObserver(() => view.invalidateSize());
    watch.observe(box.current!);
    return () => {
      watch.disconnect();
      map.current = null;
      view.remove();
    };
  }, []);

  useEffect(() => {
    const view = map.current;
    if (!view || !place) return;
    const at: L.LatLngTuple = [place.lat, place.lng];
    const icon = L.divIcon({ className: "pin", iconSize: [18, 18] });
    marker.current ??= L.marker(at, { icon, keyboard: false }).addTo(view);
    marker.current.setLatLng(at);
    const element = marker.current.getElement();
    element?.setAttribute("role", "img");
    element?.setAttribute("aria-label", place.location);
    view.setView(at, streets.current ? STREET_ZOOM : OUTLINE_ZOOM, { animate: false });
  }, [place?.lat, place?.lng, place?.location]);

  return <div class="map" ref={box} role="application" aria-label={label} />;
}

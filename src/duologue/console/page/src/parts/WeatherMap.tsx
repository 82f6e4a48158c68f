// The map: the outline of the land comes with the page, street tiles appear where the network has them.

import L from "leaflet";
import { useEffect, useRef } from "preact/hooks";
import { feature } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import landUrl from "world-atlas/land-50m.json?url";
import type { WeatherView } from "../types.gen";

const TILES = "https://tile.openstreetmap.org";
const OUTLINE_ZOOM = 5;
const STREET_ZOOM = 9;
const WORLD: L.LatLngBoundsLiteral = [[-58, -165], [78, 180]];

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
    .then((world) => {
      const outline = feature(world, world.objects.land);
      for (const part of outline.features) {
        const shape = part.geometry;
        if (shape.type === "MultiPolygon") shape.coordinates.flat().forEach(unwrap);
        if (shape.type === "Polygon") shape.coordinates.forEach(unwrap);
      }
      return outline;
    });
  return land;
}

/** A shore that crosses the date line goes on beyond 180 degrees, or a line would run back around the world. */
function unwrap(ring: GeoJSON.Position[]): void {
  for (let i = 1; i < ring.length; i++) {
    const step = ring[i]![0]! - ring[i - 1]![0]!;
    if (Math.abs(step) > 180) ring[i] = [ring[i]![0]! - 360 * Math.round(step / 360), ring[i]![1]!];
  }
  const middle = ring.reduce((sum, at) => sum + at[0]!, 0) / ring.length;
  const turns = 360 * Math.round(middle / 360);
  if (turns) for (const [i, at] of ring.entries()) ring[i] = [at[0]! - turns, at[1]!];
}

export function WeatherMap({ place, label }: { place: WeatherView | undefined; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const map = useRef<L.Map | null>(null);
  const marker = useRef<L.Marker | null>(null);
  const streets = useRef(false);

  useEffect(() => {
    const view = L.map(box.current!, {
      attributionControl: true,
      zoomControl: true,
      worldCopyJump: true,
      // Without it the map takes the first zoom that has street tiles as its least.
      minZoom: 0,
      zoomSnap: 0.25,
    });
    view.fitBounds(WORLD);
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
    const watch = new ResizeObserver(() => {
      view.invalidateSize();
      if (!marker.current) view.fitBounds(WORLD, { animate: false });
    });
    watch.observe(box.current!);
    return () => {
      watch.disconnect();
      map.current = null;
      marker.current = null;
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

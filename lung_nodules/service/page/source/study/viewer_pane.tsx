/** The images: toolbar, one plane or three, and the map of slices beside them. */

import {
  useCallback,
  useEffect,
  useMemo,
  useState,
  useSyncExternalStore,
  type Dispatch,
  type ReactElement,
} from "react";
import { getHu, getLabels } from "../api/client";
import type { Finding, Review, Slices } from "../api/schemas";
import { useWords } from "../parts/context";
import { useKeys } from "../parts/hooks";
import { planeShape, type Plane } from "../image/planes";
import { SliceStore } from "../image/store";
import { zoomAt } from "../image/view";
import { readingStep, sliceNumbers, type SliceNumbers } from "../state/slice_numbers";
import { labelExtents, LAYOUTS, type Viewer, type ViewerAction } from "../state/viewer";
import type { Command } from "../state/keys";
import { SliceMap } from "./slice_map";
import { Toolbar } from "./toolbar";
import { Viewport } from "./viewport";

export interface ViewerPaneProps {
  readonly jobId: string;
  readonly slices: Slices;
  readonly findings: readonly Finding[];
  readonly lungs: readonly (readonly number[])[];
  readonly chosen: Finding | null;
  readonly reviews: ReadonlyMap<string, Review>;
  readonly viewer: Viewer;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly onChoose: (finding: Finding) => void;
}

/** Bytes of images kept in memory; phones have less of it. */
const budgetBytes = (): number => (window.matchMedia("(pointer: coarse)").matches ? 256 : 1024) * 2 ** 20;

interface Stores {
  readonly hu: SliceStore<Int16Array>;
  readonly labels: SliceStore<Uint16Array>;
}

export function ViewerPane(props: ViewerPaneProps): ReactElement {
  const { viewer, dispatch, findings, chosen, slices } = props;
  const { words } = useWords();
  const stores = useStores(props.jobId, slices);
  const numbers = useMemo(() => sliceNumbers(slices.num_slices, findings), [slices, findings]);
  const plane: Plane = viewer.layout === "three" ? "axial" : viewer.layout;
  useViewerKeys(viewer, dispatch, plane);
  useEffect(() => stores?.hu.focus(viewer.place.slice), [stores, viewer.place.slice]);
  const planes: readonly Plane[] = viewer.layout === "three" ? ["axial", "coronal", "sagittal"] : [viewer.layout];
  const reformats = stores?.hu.holdsAll ?? true;
  return (
    <section className="viewer" aria-label={words.viewer.label}>
      <Toolbar viewer={viewer} dispatch={dispatch} reformats={reformats} />
      <div className="viewer-stage">
        <div className="planes" data-layout={viewer.layout}>
          {stores
            ? planes.map((one) => (
                <LiveViewport
                  key={one}
                  {...props}
                  plane={one}
                  stores={stores}
                  numbers={numbers}
                  single={planes.length === 1}
                />
              ))
            : null}
        </div>
        {stores ? <LiveSliceMap {...props} plane={plane} stores={stores} numbers={numbers} chosen={chosen} /> : null}
      </div>
      {stores ? <LoadState stores={stores} total={slices.num_slices} /> : null}
    </section>
  );
}

/** Stores for one study, made when it is opened and emptied when it is left. */
function useStores(jobId: string, slices: Slices): Stores | null {
  const [stores, setStores] = useState<Stores | null>(null);
  useEffect(() => {
    const numPixels = slices.rows * slices.columns;
    const common = { bytesPerSlice: 2 * numPixels, budgetBytes: budgetBytes() };
    const made: Stores = {
      hu: new SliceStore({
        ...common,
        indices: Array.from({ length: slices.num_slices }, (_, index) => index),
        load: (index, signal) => getHu(jobId, index, numPixels, signal),
      }),
      labels: new SliceStore({
        ...common,
        indices: slices.labels,
        parallel: 3,
        load: (index, signal) => getLabels(jobId, index, numPixels, signal),
      }),
    };
    made.labels.focus(Math.floor(slices.num_slices / 2));
    // eslint-disable-next-line react-hooks/set-state-in-effect -- a store loads by itself, so it is made and ended here
    setStores(made);
    return () => {
      made.hu.dispose();
      made.labels.dispose();
    };
  }, [jobId, slices]);
  return stores;
}

type Live = ViewerPaneProps & { readonly plane: Plane; readonly stores: Stores; readonly numbers: SliceNumbers };

/** A viewport that is drawn anew when slices arrive: its own one, or for planes across the slices any. */
function LiveViewport({ stores, plane, viewer, ...rest }: Live & { readonly single: boolean }): ReactElement {
  const { hu, labels } = stores;
  const isAxial = plane === "axial";
  const slice = useSyncExternalStore(hu.subscribe, () => (isAxial ? hu.get(viewer.place.slice) : undefined));
  const across = useSyncExternalStore(hu.subscribe, () => (isAxial ? null : hu.reader));
  const readHu = useMemo(() => across ?? (() => slice), [across, slice]);
  const readLabels = useSyncExternalStore(labels.subscribe, () => labels.reader);
  return <Viewport {...rest} plane={plane} viewer={viewer} readHu={readHu} readLabels={readLabels} />;
}

function LiveSliceMap(props: Live): ReactElement {
  const { stores, slices, viewer, plane, dispatch, findings, lungs, chosen, numbers, onChoose } = props;
  const readLabels = useSyncExternalStore(stores.labels.subscribe, () => stores.labels.reader);
  const readHu = useSyncExternalStore(stores.hu.subscribe, () => stores.hu.reader);
  const extents = useMemo(() => labelExtents(slices.labels, readLabels), [slices, readLabels]);
  const isHeld = useMemo(
    () => Array.from({ length: slices.num_slices }, (_, index) => readHu(index) !== undefined),
    [slices, readHu],
  );
  const onIndex = useCallback((index: number) => dispatch({ type: "index", plane, index }), [dispatch, plane]);
  return (
    <SliceMap
      plane={plane}
      viewer={viewer}
      findings={findings}
      lungs={lungs}
      extents={plane === "axial" ? extents : NO_EXTENTS}
      isHeld={isHeld}
      chosen={chosen}
      numbers={numbers}
      onIndex={onIndex}
      onChoose={onChoose}
    />
  );
}

const NO_EXTENTS: ReadonlyMap<number, readonly [number, number]> = new Map();

function LoadState({ stores, total }: { stores: Stores; total: number }): ReactElement | null {
  const { words } = useWords();
  useSyncExternalStore(stores.hu.subscribe, () => stores.hu.version);
  const { numFailed, numHeld, numWanted, holdsAll } = stores.hu;
  if (numFailed > 0) {
    return (
      <p className="load-state" role="status">
        {numFailed >= total ? words.viewer.noPixels : words.viewer.failed(numFailed)}
      </p>
    );
  }
  if (numHeld >= numWanted) return holdsAll ? null : <p className="load-state">{words.viewer.tooLarge}</p>;
  return <p className="load-state">{words.viewer.loaded(numHeld, total)}</p>;
}

const STEPS: Partial<Record<Command, number>> = {
  "slice-next": 1,
  "slice-previous": -1,
  "slice-leap": 10,
  "slice-leap-back": -10,
  "slice-first": -Infinity,
  "slice-last": Infinity,
};

const PRESET_KEYS = { "window-lung": "lung", "window-mediastinum": "mediastinum", "window-bone": "bone" } as const;

function useViewerKeys(viewer: Viewer, dispatch: Dispatch<ViewerAction>, plane: Plane): void {
  useKeys("study", (command) => {
    const step = STEPS[command];
    if (step !== undefined) {
      const far = Number.isFinite(step) ? step : Math.sign(step) * planeShape(viewer.grid, plane).count;
      dispatch({ type: "step", plane, by: far * readingStep(viewer.grid, plane) });
    } else if (command in PRESET_KEYS) {
      dispatch({ type: "preset", preset: PRESET_KEYS[command as keyof typeof PRESET_KEYS] });
    } else if (command === "layout") {
      const next = LAYOUTS[(LAYOUTS.indexOf(viewer.layout) + 1) % LAYOUTS.length] ?? "axial";
      dispatch({ type: "layout", layout: next });
    } else if (command === "outlines") dispatch({ type: "outlines" });
    else if (command === "ruler") dispatch({ type: "tool", tool: viewer.tool === "ruler" ? "window" : "ruler" });
    else if (command === "zoom-in" || command === "zoom-out") {
      const box = { width: 1, height: 1 };
      const factor = command === "zoom-in" ? 1.25 : 0.8;
      const view = zoomAt(viewer.views[plane], factor, 0.5, 0.5, box, planeShape(viewer.grid, plane));
      dispatch({ type: "view", plane, view });
    } else if (command === "reset") dispatch({ type: "reset" });
    else return false;
    return true;
  });
}

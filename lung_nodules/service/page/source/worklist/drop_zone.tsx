/** The whole page takes what is dropped on it. */

import { useEffect, useRef, useState, type ReactElement } from "react";
import { droppedFiles } from "../api/dropped";
import { usePage, useWords } from "../parts/context";
import { Icon } from "../parts/icons";

export function DropZone({ onFiles }: { onFiles: (files: File[]) => void }): ReactElement | null {
  const { words } = useWords();
  const { complain } = usePage();
  const [over, setOver] = useState(false);
  const latest = useRef(onFiles);
  useEffect(() => {
    latest.current = onFiles;
  });
  useEffect(() => {
    let depth = 0; // dragenter and dragleave come for every element that is crossed
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
    const enter = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth += event.type === "dragenter" ? 1 : 0;
      setOver(true);
    };
    const leave = (): void => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) setOver(false);
    };
    const drop = (event: DragEvent): void => {
      depth = 0;
      setOver(false);
      if (!event.dataTransfer || !hasFiles(event)) return;
      event.preventDefault();
      droppedFiles(event.dataTransfer).then((files) => latest.current(files), complain);
    };
    const listeners = { dragenter: enter, dragover: enter, dragleave: leave, drop } as const;
    for (const [name, listener] of Object.entries(listeners)) window.addEventListener(name as "drop", listener);
    return () => {
      for (const [name, listener] of Object.entries(listeners)) window.removeEventListener(name as "drop", listener);
    };
  }, [complain]);
  if (!over) return null;
  return (
    <div className="drop-zone">
      <div className="drop-zone-text">
        <Icon name="upload" size={32} />
        <strong>{words.worklist.drop}</strong>
        <span>{words.worklist.dropHint}</span>
      </div>
    </div>
  );
}

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { session } from "./api/session";
import { App } from "./app";
import { Fault } from "./parts/fault";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/worklist.css";
import "./styles/study.css";
import "./styles/viewer.css";
import "./styles/findings.css";
import "./styles/desk.css";

const root = document.getElementById("root");
if (!root) throw new Error("the page has no root");
void session.open();
createRoot(root).render(
  <StrictMode>
    <Fault>
      <App />
    </Fault>
  </StrictMode>,
);

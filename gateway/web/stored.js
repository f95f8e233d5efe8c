// What the gateway stores of a session: its transcript and its report. Both need the session's token, in a header.

import { TalkupError } from "./talkup-client.js";

const LANGUAGES = ["en", "fr"];
const KEPT_AS = "report-language";

// The page of the last report: its tab may be reloaded.
let shown;

async function fetchStored({ session_id, token }, name, query) {
  const path = `v1/sessions/${encodeURIComponent(session_id)}/${name}?${new URLSearchParams(query)}`;
  const response = await fetch(path, { headers: { Authorization: `Bearer ${token}` } }).catch(() => {
    throw new TalkupError("unreachable", "the gateway does not answer", { retryable: true });
  });
  if (response.ok) return response.blob();
  const { error } = await response.json().catch(() => ({})); // a proxy answers in its own way
  throw new TalkupError(error?.code ?? "internal", error?.message ?? `the server answered ${response.status}`);
}

function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** `format`: txt, srt, vtt or json. Rejects with TalkupError, as the others do. */
export async function saveTranscript(ticket, format) {
  save(await fetchStored(ticket, "transcript", { format }), `transcript.${format}`);
}

export async function saveReport(ticket) {
  save(await fetchStored(ticket, "report", { format: "json" }), "report.json");
}

/** Opens the report in a new tab, or saves it where the browser opens none. */
export async function openReport(ticket, language) {
  // Open it at once: after a wait, browsers treat it as a pop-up.
  const tab = window.open("", "_blank");
  let report;
  try {
    report = await fetchStored(ticket, "report", { format: "html", lang: language });
  } catch (error) {
    tab?.close();
    throw error;
  }
  if (!tab || tab.closed) return save(report, "report.html");
  if (shown) URL.revokeObjectURL(shown);
  shown = URL.createObjectURL(report);
  tab.opener = null;
  tab.location.replace(shown);
}

/** The language of the report: the last chosen one, or the browser's first language that reports have. */
export function followReportLanguage(select) {
  const preferred = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => LANGUAGES.includes(tag));
  select.value = localStorage.getItem(KEPT_AS) ?? preferred ?? "en";
  if (!select.value) select.value = "en";
  select.addEventListener("change", () => localStorage.setItem(KEPT_AS, select.value));
}

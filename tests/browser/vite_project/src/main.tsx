import { createRoot } from "react-dom/client";
import { Captions } from "./live-captions";

const session = async () => (await fetch("/my-backend/talkup-session")).json();
createRoot(document.getElementById("root") as HTMLElement).render(<Captions session={session} />);

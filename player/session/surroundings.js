// @ts-check
/** What happens around the player that only its page is told: it is hidden or frozen, the machine sleeps, the network changes. */

import { ToWorker } from "../names.js";

/**
 * Has the worker know.
 *
 * @param {(message: object) => void} tell
 * @param {AbortSignal} signal ends it
 */
export function watchSurroundings(tell, signal) {
	const tellVisible = () => tell({ type: ToWorker.VISIBLE, visible: document.visibilityState === "visible" });
	const nudge = () => tell({ type: ToWorker.NUDGE });
	document.addEventListener("visibilitychange", tellVisible, { signal });
	document.addEventListener("resume", nudge, { signal });
	addEventListener("pageshow", nudge, { signal });
	addEventListener("online", nudge, { signal });
	/** @type {EventTarget | undefined} */
	const network = /** @type {any} */ (navigator).connection;
	network?.addEventListener("change", nudge, { signal });
	tellVisible();
}

// @ts-check
/** What happens around the player that only its page is told: it is hidden, frozen or kept for "back"; the network changes. */

import { ToWorker } from "../names.js";

/**
 * How long a page that is to stand still waits before it does, in milliseconds: browsers stop its worker right behind it, whether
 * or not the worker has read what it was told, and no answer can be waited for here.
 */
const LEAVING_MS = 100;

/** @typedef {{ type: string, visible?: boolean, isAway?: boolean, isNew?: boolean }} Message */

/**
 * Has the worker know.
 *
 * @param {(message: Message) => void} tell
 * @param {AbortSignal} signal ends it
 */
export function watchSurroundings(tell, signal) {
	const options = { signal };
	const tellAway = (/** @type {boolean} */ isAway) => tell({ type: ToWorker.AWAY, isAway });
	const tellNetwork = (/** @type {boolean} */ isNew) => tell({ type: ToWorker.NETWORK, isNew });
	const tellVisible = () => {
		const visible = document.visibilityState === "visible";
		tell({ type: ToWorker.VISIBLE, visible });
		// Not every browser says that it resumes.
		if (visible) tellAway(false);
	};
	document.addEventListener("visibilitychange", tellVisible, options);
	let isLeft = false;
	const handleLeft = (/** @type {boolean} */ left) => {
		isLeft = left;
		tellAway(left);
	};
	const handleFreeze = () => {
		tellAway(true);
		// Browsers end the connections of pages that are kept for "back", and the next page must not wait for this one.
		if (isLeft) return;
		for (const end = performance.now() + LEAVING_MS; performance.now() < end; );
	};
	document.addEventListener("freeze", handleFreeze, options);
	document.addEventListener("resume", () => tellAway(false), options);
	addEventListener("pagehide", () => handleLeft(true), options);
	addEventListener("pageshow", () => handleLeft(false), options);
	addEventListener("offline", () => tellNetwork(false), options);
	addEventListener("online", () => tellNetwork(true), options);
	/** @type {EventTarget & { type?: string } | undefined} */
	const network = /** @type {any} */ (navigator).connection;
	let kind = network?.type;
	network?.addEventListener("change", () => {
		const isNew = network.type !== kind;
		kind = network.type;
		tellNetwork(isNew);
	}, options);
	tellVisible();
}

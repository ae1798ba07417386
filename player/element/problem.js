// @ts-check
/** What people are told instead of a picture: what is wrong, and what they can do about it. */

import { State } from "../names.js";

/** How long connecting may take before it counts as a failure, in milliseconds: the slowest of networks manages. */
export const UNREACHABLE_MS = 5000;

/** What `MediaError` calls it. */
const Code = Object.freeze({ NETWORK: 2, DECODE: 3, SOURCE: 4 });

/** Trouble that ends playing, by what the worker calls it. */
export const Fatal = Object.freeze({
	/** Nothing here decodes the stream. */
	CODEC: "codec",
	/** The gateway does not let this viewer have it. */
	REFUSED: "refused",
	/** The address is none. */
	SOURCE: "source",
});

/**
 * What is shown: a title and, where there is something to say, help. `code`: it is an error, of this kind.
 *
 * @typedef {{ title: import("./words.js").Word, help?: import("./words.js").Word, code?: number, busy?: boolean }} Problem
 */

/**
 * What there is to be told; nothing while all is well.
 *
 * @param {object} condition
 * @param {string} condition.state one of `State`
 * @param {boolean} condition.hasEnded a publisher was there and has gone
 * @param {boolean} condition.isQuiet a publisher is there but sends nothing
 * @param {boolean} condition.hasPlayed
 * @param {number} condition.waitingMs for how long it has been connecting
 * @param {boolean} condition.isOnline what the browser thinks of the network
 * @param {boolean} condition.isSecure whether the page may use all that the browser has
 * @param {string} [condition.fatal] one of `Fatal`
 * @returns {Problem | undefined}
 */
export function diagnose({ state, hasEnded, isQuiet, hasPlayed, waitingMs, isOnline, isSecure, fatal }) {
	if (fatal === Fatal.SOURCE) return { title: "source", help: "sourceHelp", code: Code.SOURCE };
	if (fatal === Fatal.REFUSED) return { title: "refused", help: "refusedHelp", code: Code.SOURCE };
	if (fatal === Fatal.CODEC) {
		// Pages without TLS have no decoders, so that another browser would not help.
		return isSecure ? { title: "codec", help: "codecHelp", code: Code.DECODE } : { title: "insecure", help: "insecureHelp", code: Code.SOURCE };
	}
	if (state === State.WAITING) {
		if (isQuiet) return { title: "quiet", busy: true };
		return hasEnded ? { title: "ended", help: "endedHelp" } : { title: "offline", help: "offlineHelp" };
	}
	if (state !== State.CONNECTING && state !== State.RECONNECTING) return undefined;
	if (!isOnline || waitingMs >= UNREACHABLE_MS) return { title: "unreachable", help: "unreachableHelp", code: Code.NETWORK, busy: true };
	return { title: hasPlayed ? "reconnecting" : "connecting", busy: true };
}

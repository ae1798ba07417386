// @ts-check
/** The worker's end of an {@link import("./mse.js").MsePlayer}: hands on what comes. */

import { FromWorker } from "../names.js";

/** Plays on the page. */
export class MseRemote {
	#post;

	/** @param {(message: object, transfer?: Transferable[]) => void} post to the page */
	constructor(post) {
		this.#post = post;
	}

	/** The page has its own output. */
	setOutput() {}

	/** The page has its own output. */
	setLatency() {}

	/**
	 * Takes what came of the stream.
	 *
	 * @param {number} _now
	 * @param {import("../conversation.js").ConversationEvent} event
	 */
	handleEvent(_now, event) {
		if (event.type === "tlv") this.#handleMessage(event.message);
		else if (event.type === "gap" && event.video) this.#post({ type: FromWorker.GAP, isOld: false });
		else if (event.type === "started" && event.targetDelayMs !== undefined) this.#post({ type: FromWorker.HINT, ms: event.targetDelayMs });
		else if (event.type === "published") this.#post({ type: FromWorker.PUBLISHED });
	}

	/** Another connection takes over, and begins with the newest group. */
	migrate() {
		this.#post({ type: FromWorker.GAP, isOld: true });
	}

	/**
	 * Whether pictures come.
	 *
	 * @param {number} _now
	 * @param {boolean} wanted
	 */
	setVideo(_now, wanted) {
		this.#post({ type: FromWorker.VIDEO, wanted });
	}

	/** Forgets what has not been played; goes on with what comes. */
	reset() {
		this.#post({ type: FromWorker.RESET });
	}

	/** What comes next is on another time line. */
	restart() {
		this.reset();
	}

	/** Ends it. */
	close() {
		this.reset();
	}

	/** The page knows. */
	stats() {
		return { framesShown: 0, framesDropped: 0, audioSeconds: 0, underruns: 0, audioLeads: false, delayMs: undefined, targetMs: 0, bufferMs: 0, skewMs: undefined, pace: 1, firstShownAt: undefined, width: 0, height: 0 };
	}

	/** @param {import("../wire/tlv.js").TlvMessage} message */
	#handleMessage(message) {
		if (!("segment" in message)) return this.#post({ type: FromWorker.MEDIA, message });
		// A view would take all that it is a view of along.
		const segment = message.segment.slice();
		this.#post({ type: FromWorker.MEDIA, message: { ...message, segment } }, [segment.buffer]);
	}
}

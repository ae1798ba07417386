// @ts-check
/** The player's worker: one viewer, told what to do by the element's messages. */

import { ToWorker } from "./names.js";
import { Viewer } from "./viewer.js";

/** @type {Viewer | undefined} */
let viewer;

/**
 * @param {object} message
 * @param {Transferable[]} [transfer]
 */
const post = (message, transfer = []) => self.postMessage(message, { transfer });

self.onmessage = ({ data }) => {
	switch (data.type) {
		case ToWorker.OPEN:
			viewer = new Viewer(data.source, data.wishes, data.canvas, post);
			return;
		case ToWorker.OUTPUT:
			return viewer?.setOutput(data.output);
		case ToWorker.LATENCY:
			return viewer?.setLatency(data.ms);
		case ToWorker.PAUSE:
			return viewer?.pause(data.paused);
		case ToWorker.VISIBLE:
			return viewer?.setVisible(data.visible);
		case ToWorker.AWAY:
			return viewer?.setAway(data.isAway);
		case ToWorker.NETWORK:
			return viewer?.handleNetwork(data.isNew);
		case ToWorker.DECISION:
			return viewer?.decide(data.kind, data.detail);
		case ToWorker.CLOSE:
			viewer?.close();
			return self.close();
	}
};

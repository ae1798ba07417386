// @ts-check
/** The video track, with a decoder that is driven by hand. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { VideoTrack } from "../../../player/media/video.js";
import { bytes } from "./vectors.js";

/** A decoder that puts out each frame when it's told to. */
class HandDecoder {
	/** @type {HandDecoder[]} */
	static all = [];
	/** @type {{ type: string, timestamp: number }[]} */
	queue = [];
	state = "configured";
	/** @type {{ output: (frame: object) => void, error: (error: Error) => void }} */
	handlers;

	/** @param {{ output: (frame: object) => void, error: (error: Error) => void }} handlers */
	constructor(handlers) {
		this.handlers = handlers;
		HandDecoder.all.push(this);
	}

	get decodeQueueSize() {
		return this.queue.length;
	}

	configure() {}

	/** @param {{ type: string, timestamp: number }} chunk */
	decode(chunk) {
		this.queue.push(chunk);
	}

	close() {
		this.state = "closed";
	}

	/** Puts out all that there is. */
	run() {
		for (let chunk = this.queue.shift(); chunk; chunk = this.queue.shift()) this.handlers.output({ timestamp: chunk.timestamp, close() {} });
	}
}

beforeEach(() => {
	HandDecoder.all = [];
	Object.assign(globalThis, { VideoDecoder: HandDecoder, EncodedVideoChunk: class { constructor(/** @type {object} */ chunk) { Object.assign(this, chunk); } } });
});
afterEach(() => {
	for (const name of ["VideoDecoder", "EncodedVideoChunk"]) Reflect.deleteProperty(globalThis, name);
});

const FRAME_MS = 40;

/** A track, its decoders, and what it shows. */
class Screen {
	/** @type {string[]} */
	restarts = [];
	undecodable = 0;
	/** @type {number[]} In milliseconds. */
	shown = [];
	track = new VideoTrack({
		handleTrouble: () => {},
		handleRestart: (why) => this.restarts.push(why),
		handleUndecodable: () => this.undecodable++,
		handleDecoded: () => {},
	});

	constructor() {
		this.unit(0, "configuration", 0, bytes("0142c01effe100"));
	}

	/**
	 * @param {number} now
	 * @param {import("../../../player/media/flv.js").UnitKind} kind
	 * @param {number} time
	 * @param {Uint8Array} payload
	 */
	unit(now, kind, time, payload = Uint8Array.of(1)) {
		this.track.push(now, { track: "video", kind, timestamp: time, composition: 0, payload }, time);
	}

	/**
	 * Frames from one time to another, which come together.
	 *
	 * @param {number} now
	 * @param {number} from where a key frame is
	 * @param {number} to
	 */
	group(now, from, to) {
		for (let time = from; time < to; time += FRAME_MS) this.unit(now, time === from ? "key" : "delta", time);
	}

	/**
	 * @param {number} now
	 * @param {number} due
	 * @param {boolean} isFast whether the decoder keeps up
	 */
	paint(now, due, isFast = true) {
		this.track.advance(now, due);
		if (isFast) for (let i = 0; i < 20; i++, this.track.advance(now, due)) HandDecoder.all.at(-1)?.run();
		this.track.present(now, due, (frame) => this.shown.push(frame.timestamp / 1000));
	}
}

test("the first picture is shown at once, whatever is due", () => {
	const screen = new Screen();
	screen.group(0, 1000, 1040);
	screen.paint(0, 900);
	assert.deepEqual(screen.shown, [1000]);
});

test("of a group that is joined in its middle nothing is shown between its first picture and what is due", () => {
	const screen = new Screen();
	screen.group(0, 0, 4000);
	screen.track.advance(0, 3900);
	HandDecoder.all[0].run();
	screen.paint(10, 3910, false);
	assert.equal(screen.shown.length, 1);
	screen.paint(20, 3920);
	assert.deepEqual(screen.shown.slice(1), [3920]);
	assert.equal(screen.track.framesDropped, 0);
});

test("a group that comes once more is not shown again", () => {
	const screen = new Screen();
	screen.group(0, 0, 1000);
	screen.paint(0, 900);
	const before = [...screen.shown];
	screen.track.rejoin();
	screen.unit(50, "delta", 1000);
	screen.group(100, 0, 1080);
	screen.paint(100, 900);
	assert.deepEqual(screen.shown, before);
	screen.paint(200, 1000);
	assert.equal(screen.shown.at(-1), 1000);
});

test("a decoder that fails is replaced at the next key frame", () => {
	const screen = new Screen();
	screen.group(0, 0, 400);
	screen.paint(0, 100);
	HandDecoder.all[0].handlers.error(new Error("broken"));
	screen.unit(100, "delta", 400);
	screen.paint(100, 400);
	assert.equal(HandDecoder.all.length, 1);
	screen.group(200, 440, 480);
	screen.paint(200, 440);
	assert.equal(HandDecoder.all.length, 2);
	assert.equal(screen.shown.at(-1), 440);
	assert.deepEqual(screen.restarts, ["the decoder failed"]);
	assert.equal(screen.undecodable, 0);
});

test("a decoder that fails three times without a frame does not know the stream", () => {
	const screen = new Screen();
	for (let time = 0; time < 3; time++) {
		screen.group(time, time * 1000, time * 1000 + 40);
		screen.paint(time, time * 1000, false);
		HandDecoder.all[time].handlers.error(new Error("broken"));
	}
	assert.equal(screen.undecodable, 1);
});

test("with a newer key frame due, what is before it is not decoded", () => {
	const screen = new Screen();
	screen.group(0, 0, 1000);
	screen.group(0, 1000, 2000);
	screen.paint(0, 1500);
	assert.equal(screen.shown.at(-1), 1480);
	assert.ok(HandDecoder.all[0].queue.length + 1000 / FRAME_MS < 40, "only the second group was decoded");
});

test("a decoder that does not keep up goes on at the next key frame", () => {
	const screen = new Screen();
	screen.group(0, 0, 2000);
	screen.paint(0, 0, false);
	screen.paint(2000, 1900, false);
	assert.deepEqual(screen.restarts, ["the decoder does not keep up"]);
	screen.unit(2100, "delta", 2000);
	screen.group(2200, 2040, 2080);
	screen.paint(2200, 2040);
	assert.equal(screen.shown.at(-1), 2040);
});

test("frames that are late are counted, but for those of the start", () => {
	const screen = new Screen();
	screen.group(0, 0, 3000);
	screen.paint(0, 400);
	screen.paint(1100, 2000);
	assert.ok(screen.track.framesDropped > 30, `${screen.track.framesDropped}`);
});

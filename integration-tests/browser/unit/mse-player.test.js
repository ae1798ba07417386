// @ts-check
/** Which sources an {@link MsePlayer} makes, on a page that is none. */

import assert from "node:assert/strict";
import { test } from "node:test";

/** @type {string[][]} The tracks of each source, in the order of their making. */
const sources = [];

class FakeSource extends EventTarget {
	static isTypeSupported = () => true;
	/** @type {string[]} */
	#tracks = [];

	constructor() {
		super();
		sources.push(this.#tracks);
		setTimeout(() => this.dispatchEvent(new Event("sourceopen")));
	}

	/** @param {string} mime */
	addSourceBuffer(mime) {
		this.#tracks.push(mime.slice(0, 5));
		return Object.assign(new EventTarget(), { updating: false, buffered: { length: 0 }, timestampOffset: 0, appendBuffer() {} });
	}
}
Object.assign(globalThis, { MediaSource: FakeSource });
Object.assign(URL, { createObjectURL: () => "blob:", revokeObjectURL() {} });
const { MseRemote } = await import("../../../player/media/mse-remote.js");
const { MsePlayer } = await import("../../../player/media/mse.js");

/**
 * @param {string} name
 * @param {number[]} body 32-bit numbers
 */
function box(name, body) {
	const bytes = new DataView(new ArrayBuffer(8 + 4 * body.length));
	bytes.setUint32(0, bytes.byteLength);
	for (let i = 0; i < 4; i++) bytes.setUint8(4 + i, name.charCodeAt(i));
	body.forEach((number, i) => bytes.setUint32(8 + 4 * i, number));
	return new Uint8Array(bytes.buffer);
}

/** @param {number} start @param {number} end in milliseconds; nothing if they are one */
function buffered(start, end) {
	return { length: Number(end > start), start: () => start / 1000, end: () => end / 1000 };
}

function player() {
	const states = { readyState: 0, HAVE_CURRENT_DATA: 2, HAVE_FUTURE_DATA: 3 };
	const methods = { async play() {}, pause() {}, load() {}, removeAttribute() {} };
	const video = Object.assign(new EventTarget(), { buffered: buffered(0, 0), currentTime: 0, playbackRate: 1, ...states, ...methods });
	const trouble = /** @type {string[]} */ ([]);
	const made = new MsePlayer(/** @type {any} */ (video), { handleTrouble: (message) => trouble.push(message), handleLocked() {}, handleDecision() {} }, 0);
	let now = 0;
	for (const track of /** @type {const} */ (["video", "audio"])) {
		made.handleMessage(now, { type: "init", track, width: 0, height: 0, codec: "x", segment: box("mdhd", [0, 0, 0, 1000]) });
	}
	/** @param {number} from @param {number} to in milliseconds @param {("video" | "audio")[]} tracks @param {number} earlier of their time line */
	const play = (from, to, tracks, earlier = 0) => {
		for (now = from; now < to; now += 100) {
			for (const track of tracks) {
				if (track === "video") made.handleMessage(now, { type: "keyframe", group: 0n, decodeTime: 0n });
				made.handleMessage(now, { type: "segment", track, segment: box("tfdt", [0, now - earlier]) });
			}
		}
	};
	return { made, play, trouble, video };
}

test("without pictures sound goes on from a source of its own, at once, and with them from a key frame on", async (t) => {
	sources.length = 0;
	const { made, play, trouble } = player();
	t.after(() => made.close());
	const opened = () => new Promise((done) => setTimeout(done, 5));
	play(0, 1000, ["video", "audio"]);
	await opened();
	made.setVideo(1000, false);
	// Pictures that were under way.
	play(1000, 1100, ["video", "audio"]);
	await opened();
	assert.deepEqual(sources, [["video", "audio"], ["audio"]]);
	play(1100, 9000, ["audio"]);
	made.setVideo(9000, true);
	made.handleMessage(9000, { type: "segment", track: "video", segment: box("tfdt", [0, 9000]) });
	await opened();
	assert.equal(sources.length, 2, "a source was made for pictures that can't be decoded");
	play(9000, 9100, ["video", "audio"]);
	await opened();
	assert.deepEqual(sources.slice(2), [["audio", "video"]]);
	play(9100, 13_000, ["video", "audio"]);
	await opened();
	assert.equal(sources.length, 3);
	assert.deepEqual(trouble, []);
});

test("what came before it is told that somebody publishes is played", async (t) => {
	sources.length = 0;
	const { made, play } = player();
	t.after(() => made.close());
	/** @type {Record<string, () => void>} */
	const told = { published: () => made.handlePublished(), reset: () => made.reset(100) };
	const remote = new MseRemote((message) => told[/** @type {any} */ (message).type]?.());
	play(0, 100, ["video"]);
	remote.handleEvent(100, { type: "published" });
	play(100, 200, ["audio"]);
	await new Promise((done) => setTimeout(done, 5));
	assert.deepEqual(sources, [["video", "audio"]]);
});

for (const [name, readyState, position] of /** @type {const} */ ([["a video that stands still begins again where it is due", 2, 1250], ["one that plays goes on", 3, 1000]])) {
	test(`when a publisher returns, ${name}`, async (t) => {
		let clock = 0;
		t.mock.method(performance, "now", () => clock);
		t.mock.timers.enable({ apis: ["setInterval"] });
		const { made, play, video } = player();
		t.after(() => made.close());
		play(0, 1000, ["video", "audio"]);
		await new Promise((opened) => setTimeout(opened, 5));
		/** @param {number} now @param {number} end what is buffered then */
		const steer = (now, end) => {
			clock = now;
			video.buffered = buffered(0, end);
			t.mock.timers.tick(100);
		};
		video.readyState = 3;
		steer(1000, 1000);
		assert.equal(Math.round(video.currentTime * 1000), 850, "it began elsewhere");
		video.currentTime = 1;
		video.readyState = readyState;
		made.handlePublished();
		play(3000, 3500, ["video", "audio"], 2000);
		steer(3400, 1500);
		assert.equal(Math.round(video.currentTime * 1000), position);
	});
}

test("a page that was held up misses no track", async (t) => {
	sources.length = 0;
	const { made, play } = player();
	t.after(() => made.close());
	play(0, 1000, ["video", "audio"]);
	play(11_000, 11_100, ["audio"]);
	play(11_100, 12_000, ["video", "audio"]);
	await new Promise((opened) => setTimeout(opened, 5));
	assert.deepEqual(sources, [["video", "audio"]]);
});

for (const [kept, gone] of /** @type {("video" | "audio")[][]} */ ([["video", "audio"], ["audio", "video"]])) {
	test(`${kept} goes on without ${gone} that has ended, and with it when it comes again`, async (t) => {
		sources.length = 0;
		const { made, play, trouble } = player();
		t.after(() => made.close());
		play(0, 1000, ["video", "audio"]);
		await new Promise((opened) => setTimeout(opened, 5));
		assert.deepEqual(sources, [["video", "audio"]]);
		play(1000, 8000, [kept]);
		await new Promise((opened) => setTimeout(opened, 5));
		assert.deepEqual(sources.at(-1), [kept]);
		play(8000, 9000, ["video", "audio"]);
		await new Promise((opened) => setTimeout(opened, 5));
		assert.deepEqual(sources.at(-1)?.toSorted(), ["audio", "video"]);
		assert.deepEqual(trouble, []);
	});
}

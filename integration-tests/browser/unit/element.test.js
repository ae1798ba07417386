// @ts-check
/** What the element makes of what the worker says: media element's terms, words for people. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { MediaState, timeRange } from "../../../player/element/media-state.js";
import { Fatal, UNREACHABLE_MS, diagnose } from "../../../player/element/problem.js";
import { LANGUAGES, TEXTS, Words, chooseLanguage } from "../../../player/element/words.js";
import { State } from "../../../player/names.js";

const ELEMENT = new URL("../../../player/element/", import.meta.url);
const QUIET = { state: State.PLAYING, hasEnded: false, isQuiet: false, hasPlayed: true, waitingMs: 0, isOnline: true, isSecure: true };

test("events come in the order of HTML's media elements", () => {
	const media = new MediaState();
	assert.deepEqual(media.handlePlay(), ["play", "waiting"]);
	assert.deepEqual(media.handleState(0, State.CONNECTING), ["statechange", "loadstart"]);
	assert.deepEqual(media.handleState(100, State.WAITING), ["statechange"]);
	assert.deepEqual(media.handleState(200, State.PLAYING), ["statechange", "loadedmetadata", "durationchange", "loadeddata", "canplay", "playing"]);
	assert.deepEqual([media.readyState, media.paused, media.ended], [4, false, false]);
	assert.deepEqual(media.handlePause(1200), ["timeupdate", "pause"]);
	assert.equal(media.currentTime(5000), 1);
	assert.deepEqual(media.handlePlay(), ["play"]);
	assert.deepEqual(media.handleState(5000, State.RECONNECTING), ["statechange", "stalled", "waiting"]);
	assert.deepEqual(media.handleState(6000, State.PLAYING), ["statechange", "canplay", "playing"]);
	assert.deepEqual(media.handleState(7000, State.CLOSED), ["statechange", "emptied"]);
	assert.deepEqual([media.readyState, media.paused, media.currentTime(7000)], [0, true, 0]);
});

test("a publisher that goes ends the stream until it returns, one that is silent stalls it", () => {
	const media = new MediaState();
	media.handlePlay();
	media.handleState(0, State.PLAYING);
	assert.deepEqual(media.handleState(1, State.WAITING, "nothing comes"), ["statechange", "stalled", "waiting"]);
	media.handleState(2, State.PLAYING);
	assert.deepEqual(media.handleState(3, State.WAITING), ["statechange", "ended"]);
	assert.equal(media.ended, true);
	media.handleState(4, State.PLAYING);
	assert.equal(media.ended, false);
});

test("whatever is wrong has words, and what cannot go on is an error", () => {
	assert.equal(diagnose(QUIET), undefined);
	const told = (/** @type {Partial<Parameters<typeof diagnose>[0]>} */ condition) => {
		const { title, code } = diagnose({ ...QUIET, ...condition }) ?? {};
		return [title, code];
	};
	assert.deepEqual(told({ fatal: Fatal.SOURCE }), ["source", 4]);
	assert.deepEqual(told({ fatal: Fatal.REFUSED }), ["refused", 4]);
	assert.deepEqual(told({ fatal: Fatal.CODEC }), ["codec", 3]);
	assert.deepEqual(told({ fatal: Fatal.CODEC, isSecure: false }), ["insecure", 4]);
	assert.deepEqual(told({ state: State.WAITING }), ["offline", undefined]);
	assert.deepEqual(told({ state: State.WAITING, hasEnded: true }), ["ended", undefined]);
	assert.deepEqual(told({ state: State.WAITING, isQuiet: true }), ["quiet", undefined]);
	assert.deepEqual(told({ state: State.CONNECTING, hasPlayed: false }), ["connecting", undefined]);
	assert.deepEqual(told({ state: State.RECONNECTING }), ["reconnecting", undefined]);
	assert.deepEqual(told({ state: State.RECONNECTING, waitingMs: UNREACHABLE_MS }), ["unreachable", 2]);
	assert.deepEqual(told({ state: State.CONNECTING, isOnline: false }), ["unreachable", 2]);
});

test("every language has every word, with the same places to fill in", () => {
	for (const [word, row] of Object.entries(TEXTS)) {
		assert.equal(row.length, LANGUAGES.length, word);
		const places = row.map((text) => [...text.matchAll(/\{\w+\}/g)].map(String).toSorted().join());
		assert.equal(new Set(places).size, 1, `${word}: ${places}`);
		assert.ok(row.every((text) => text.trim() !== ""), word);
	}
});

test("every word is said somewhere", () => {
	const sources = readdirSync(ELEMENT).filter((file) => file !== "words.js").map((file) => readFileSync(new URL(file, ELEMENT), "utf8")).join("");
	assert.deepEqual(Object.keys(TEXTS).filter((word) => !sources.includes(`"${word}"`)), []);
});

test("the language is the first that is known, English without one", () => {
	assert.equal(chooseLanguage(["pt-BR", "de-AT", "en"]), "de");
	assert.equal(chooseLanguage(["JA"]), "ja");
	assert.equal(chooseLanguage([]), "en");
	assert.deepEqual([new Words("ar").direction, new Words("de").direction], ["rtl", "ltr"]);
	assert.equal(new Words("de").say("behind", { time: "1 s" }), "1 s hinter live");
});

test("an empty range has no bounds to ask for", () => {
	const range = timeRange(1, 2);
	assert.deepEqual([range.length, range.start(0), range.end(0)], [1, 1, 2]);
	assert.equal(timeRange(1, 1).length, 0);
	assert.throws(() => timeRange(1, 1).start(0), { name: "IndexSizeError" });
});

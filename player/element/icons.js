// @ts-check
/** The controls' pictures: paths on a field of 24 by 24. */

const SVG = "http://www.w3.org/2000/svg";

/** The paths, by name. */
export const Icon = Object.freeze({
	PLAY: "M8 5.2v13.6a.8.8 0 0 0 1.2.7l10.6-6.8a.8.8 0 0 0 0-1.4L9.2 4.5A.8.8 0 0 0 8 5.2z",
	PAUSE: "M7.5 5h2a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1h-2a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1zm7 0h2a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1h-2a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1z",
	SOUND: "M11.3 4.6 7.2 8H4.5A1.5 1.5 0 0 0 3 9.5v5A1.5 1.5 0 0 0 4.5 16h2.7l4.1 3.400a.7.7 0 0 0 1.2-.5V5.1a.7.7 0 0 0-1.2-.5zM15.3 8.2a.9.9 0 0 0-.1 1.3 3.9 3.9 0 0 1 0 5 .9.9 0 1 0 1.4 1.2 5.7 5.7 0 0 0 0-7.4.9.9 0 0 0-1.3-.1zm2.7-2.9a.9.9 0 0 0-.1 1.3 8.2 8.2 0 0 1 0 10.8.9.9 0 1 0 1.4 1.2 10 10 0 0 0 0-13.2.9.9 0 0 0-1.3-.1z",
	MUTED: "M11.3 4.6 7.2 8H4.5A1.5 1.5 0 0 0 3 9.5v5A1.5 1.5 0 0 0 4.5 16h2.7l4.1 3.400a.7.7 0 0 0 1.2-.5V5.1a.7.7 0 0 0-1.2-.5zm4.3 4.8a.9.9 0 0 0 0 1.3l1.4 1.3-1.4 1.3a.9.9 0 1 0 1.3 1.3l1.3-1.4 1.3 1.4a.9.9 0 1 0 1.3-1.3L20.1 12l1.4-1.3a.9.9 0 1 0-1.3-1.3l-1.3 1.4-1.3-1.4a.9.9 0 0 0-1.3 0z",
	FULLSCREEN: "M4 9V5.5A1.5 1.5 0 0 1 5.5 4H9v2H6v3H4zm11-5h3.5A1.5 1.5 0 0 1 20 5.5V9h-2V6h-3V4zM4 15h2v3h3v2H5.5A1.5 1.5 0 0 1 4 18.5V15zm14 0h2v3.5a1.5 1.5 0 0 1-1.5 1.5H15v-2h3v-3z",
	WINDOWED: "M7 4h2v3.5A1.5 1.5 0 0 1 7.5 9H4V7h3V4zm8 0h2v3h3v2h-3.5A1.5 1.5 0 0 1 15 7.5V4zM4 15h3.5A1.5 1.5 0 0 1 9 16.5V20H7v-3H4v-2zm12.5 0H20v2h-3v3h-2v-3.5a1.5 1.5 0 0 1 1.5-1.5z",
	PIP: "M4.5 5h15A1.5 1.5 0 0 1 21 6.5V11h-2V7H5v10h5v2H4.5A1.5 1.5 0 0 1 3 17.5v-11A1.5 1.5 0 0 1 4.5 5zM13 13h7a1 1 0 0 1 1 1v4a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1v-4a1 1 0 0 1 1-1z",
	STATS: "M5 13h2a1 1 0 0 1 1 1v5a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1v-5a1 1 0 0 1 1-1zm6-9h2a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1h-2a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zm6 5h2a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-2a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1z",
});

/** Makes a picture that screen readers leave alone. @param {string} path */
export function icon(path) {
	const svg = document.createElementNS(SVG, "svg");
	svg.setAttribute("viewBox", "0 0 24 24");
	svg.setAttribute("aria-hidden", "true");
	svg.append(document.createElementNS(SVG, "path"));
	setIcon(svg, path);
	return svg;
}

/**
 * @param {SVGSVGElement} svg
 * @param {string} path
 */
export function setIcon(svg, path) {
	svg.firstElementChild?.setAttribute("d", path);
}

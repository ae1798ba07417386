// @ts-check
/**
 * A clock in the picture that programs can read: 32 squares in two rows across the top, each black or white. The upper row and
 * the lower one's first half are 24 bits of milliseconds since the Unix epoch, the rest a check sum.
 */

export const WIDTH = 320;
export const HEIGHT = 180;
export const COLUMNS = 16;
export const SIDE = WIDTH / COLUMNS;
/** A time code's range, in milliseconds: 4.6 h. */
export const RANGE = 2 ** 24;

/**
 * A grey picture that shows a time.
 *
 * @param {number} milliseconds
 * @returns {Uint8Array} a byte for each pixel
 */
export function picture(milliseconds) {
	const pixels = new Uint8Array(WIDTH * HEIGHT).fill(128);
	// Something that moves, or encoders would have nothing to do.
	const x = Math.floor(milliseconds / 10) % (WIDTH - 40);
	for (let y = 80; y < 120; y++) pixels.fill(200, y * WIDTH + x, y * WIDTH + x + 40);
	const time = milliseconds % RANGE;
	const bits = [...Array(24).keys()].map((bit) => (Math.floor(time / 2 ** bit) & 1) === 1);
	const sum = checksum(time);
	for (let bit = 0; bit < 8; bit++) bits.push(((sum >> bit) & 1) === 1);
	bits.forEach((bit, index) => {
		const [left, top] = [(index % COLUMNS) * SIDE, Math.floor(index / COLUMNS) * SIDE];
		for (let y = top; y < top + SIDE; y++) pixels.fill(bit ? 235 : 16, y * WIDTH + left, y * WIDTH + left + SIDE);
	});
	return pixels;
}

/**
 * The time that a picture shows.
 *
 * @param {ArrayLike<number>} rgba the picture scaled to WIDTH × 2·SIDE, four bytes a pixel
 * @returns {number | undefined} nothing if there is no time code, or a spoilt one
 */
export function read(rgba) {
	let [time, sum] = [0, 0];
	for (let index = 0; index < 32; index++) {
		const [x, y] = [(index % COLUMNS) * SIDE + SIDE / 2, Math.floor(index / COLUMNS) * SIDE + SIDE / 2];
		if ((rgba[(y * WIDTH + x) * 4] ?? 0) < 128) continue;
		if (index < 24) time += 2 ** index;
		else sum |= 1 << (index - 24);
	}
	return sum === checksum(time) ? time : undefined;
}

/** @param {number} time */
function checksum(time) {
	return ((time & 0xff) ^ ((time >> 8) & 0xff) ^ ((time >> 16) & 0xff) ^ 0xa5) & 0xff;
}

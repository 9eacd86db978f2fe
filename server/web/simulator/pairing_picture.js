/**
 * SIMULATOR. A picture that looks like a QR code and is none: in the demo nothing needs scanning.
 */

const SIDE = 21;
const FINDER = 7;

/** @param {string} text decides the pattern  @returns {string} a data: URL of an SVG picture */
export function pairingPicture(text) {
  let squares = "";
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      if (isDark(x, y, text)) squares += `M${x} ${y}h1v1h-1z`;
    }
  }
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 25 25" shape-rendering="crispEdges">` +
    `<path fill="#fff" d="M-2-2h25v25h-25z"/><path fill="#231a2b" d="${squares}"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

function isDark(x, y, text) {
  for (const [left, top] of [
    [0, 0],
    [SIDE - FINDER, 0],
    [0, SIDE - FINDER],
  ]) {
    const [dx, dy] = [x - left, y - top];
    if (dx < -1 || dy < -1 || dx > FINDER || dy > FINDER) continue;
    const ring = Math.max(Math.abs(dx - 3), Math.abs(dy - 3));
    return ring === 3 || ring <= 1;
  }
  const code = text.charCodeAt((x * 7 + y * 13) % text.length);
  return (code * (x + 3) * (y + 5)) % 7 < 3;
}

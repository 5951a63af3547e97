/** HTML and SVG as text. */

export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** An element; `children` are markup. Attributes without a value are left out. */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const given = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${escapeText(typeof value === "number" ? short(value) : value!)}"`)
    .join("");
  return children.length === 0 && selfClosing.has(name)
    ? `<${name}${given}/>`
    : `<${name}${given}>${children.join("")}</${name}>`;
}

const selfClosing = new Set(["line", "path", "circle", "rect", "polyline", "polygon", "meta"]);

/** Text as markup. */
export function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** Coordinates to a hundredth of a pixel. */
function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** The first column, or as many as are said, is text; the others are figures. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[], textColumns = 1): string {
  const cells = (name: string, row: readonly string[]) =>
    element(
      "tr",
      {},
      ...row.map((cell, index) => element(name, { class: index < textColumns ? "text" : undefined }, escapeText(cell))),
    );
  return element(
    "div",
    { class: "wide" },
    element(
      "table",
      {},
      element("thead", {}, cells("th", heading)),
      element("tbody", {}, ...rows.map((row) => cells("td", row))),
    ),
  );
}

/** The pages of docs/diagnostics/: one for each code, and the index. */
import { catalogue, stages } from "./catalogue.js";
import type { DiagnosticEntry } from "./define.js";

/** Paragraphs are separated by empty lines in the entry; within one, Markdown wraps. */
export function renderPage(entry: DiagnosticEntry<never>): string {
  const kind = entry.severity === "warning" ? "Warning" : "Error";
  return `# ${entry.code}: ${entry.title}

${kind}. ${entry.explanation}

For example:

\`\`\`text
${entry.example}
\`\`\`
`;
}

/** All codes by stage, each linked to its page. */
export function renderIndex(): string {
  const sections = stages.flatMap(({ prefix, name, entries }) => {
    if (entries.length === 0) return [];
    const lines = entries.map(({ code, title }) => `- [${code}](${code}.md): ${title}`);
    return [`## ${name} (${prefix}xx)`, "", ...lines, ""];
  });
  return `# Diagnostics

What phdc reports, ${catalogue.length} codes in all. \`phdc explain PHD0101\` prints a page. These pages are written from the catalogue in
\`src/diagnostics/\` (\`npx vitest run test/unit/diagnostics/catalogue.test.ts -u\`).

${sections.join("\n")}`;
}

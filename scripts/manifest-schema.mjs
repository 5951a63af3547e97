// Writes the JSON schemas of schema/ from the types that programs use, so that what is published cannot drift from them.
//
// It knows the constructs that those types are made of: interfaces, unions, literals, arrays, tuples, records, optional fields. Any
// other is an error. Doc comments become descriptions.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Node, Project, SyntaxKind } from "ts-morph";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The schema of `src/runtime/manifest.ts` as JSON text. */
export function manifestSchema() {
  return schemaOf({
    title: "The manifest of a compiled phdc package",
    type: "Manifest",
    version: "manifestVersion",
    files: ["src/runtime/manifest.ts", "src/runtime/expr.ts"],
  });
}

/** The schema of `src/bench/report.ts` as JSON text. */
export function benchSchema() {
  return schemaOf({
    title: "A report of phdc bench",
    type: "BenchReport",
    version: "reportVersion",
    files: ["src/bench/report.ts", "src/bench/count-work.ts", "src/bench/statistics.ts"],
  });
}

/** The schema of a type. Types are looked for in `files`; the first also has the constant that `version` names. */
function schemaOf({ title, type, version, files }) {
  const project = new Project({ skipAddingFilesFromTsConfig: true });
  const sources = files.map((file) => project.addSourceFileAtPath(`${root}${file}`));
  const [main] = sources;
  const definitions = {};

  const find = (name) => {
    const found = sources.flatMap((source) => source.getInterface(name) ?? source.getTypeAlias(name) ?? []);
    if (found.length === 0) throw new Error(`${files[0]}: no type ${name}`);
    return found[0];
  };

  const define = (name) => {
    if (definitions[name] !== undefined) return;
    const declaration = find(name);
    definitions[name] = {};
    const body = Node.isInterfaceDeclaration(declaration)
      ? objectSchema(declaration)
      : typeSchema(declaration.getTypeNodeOrThrow());
    definitions[name] = described(declaration, body);
  };

  /** An interface has the fields of those it extends, too. */
  const propertiesOf = (node) => [
    ...(Node.isInterfaceDeclaration(node)
      ? node.getExtends().flatMap((base) => propertiesOf(find(base.getText())))
      : []),
    ...node.getProperties(),
  ];

  const objectSchema = (node) => {
    const properties = {};
    const required = [];
    for (const member of propertiesOf(node)) {
      const name = member.getName();
      properties[name] = described(member, typeSchema(member.getTypeNodeOrThrow()));
      if (!member.hasQuestionToken()) required.push(name);
    }
    return { type: "object", properties, required, additionalProperties: false };
  };

  const typeSchema = (node) => {
    switch (node.getKind()) {
      case SyntaxKind.StringKeyword:
        return { type: "string" };
      case SyntaxKind.NumberKeyword:
        return { type: "number" };
      case SyntaxKind.BooleanKeyword:
        return { type: "boolean" };
      case SyntaxKind.LiteralType:
        return { const: literalValue(node) };
      case SyntaxKind.UnionType: {
        const members = node.getTypeNodes();
        return members.every((member) => member.getKind() === SyntaxKind.LiteralType)
          ? { enum: members.map(literalValue) }
          : { anyOf: members.map((member) => typeSchema(member)) };
      }
      case SyntaxKind.ArrayType:
        return { type: "array", items: typeSchema(node.getElementTypeNode()) };
      case SyntaxKind.TupleType: {
        const items = node.getElements().map((element) => typeSchema(tupleElement(element)));
        return { type: "array", items, minItems: items.length, maxItems: items.length };
      }
      case SyntaxKind.TypeLiteral:
        return objectSchema(node);
      case SyntaxKind.ParenthesizedType:
      case SyntaxKind.TypeOperator:
        return typeSchema(node.getTypeNode());
      case SyntaxKind.TypeReference:
        return referenceSchema(node);
      default:
        throw new Error(`${files[0]}: unexpected ${node.getKindName()} in ${node.getText()}`);
    }
  };

  const referenceSchema = (node) => {
    const name = node.getTypeName().getText();
    const args = node.getTypeArguments();
    if (name === "Readonly") return typeSchema(args[0]);
    if (name === "Record") return { type: "object", additionalProperties: typeSchema(args[1]) };
    define(name);
    return { $ref: `#/definitions/${name}` };
  };

  define(type);
  const number = main.getVariableDeclarationOrThrow(version).getInitializerOrThrow().getText();
  const { properties } = definitions[type];
  properties.version = { ...properties.version, type: undefined, const: Number(number) };
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    title,
    description: firstParagraph(main.getFullText().match(/\/\*\*([\s\S]*?)\*\//)?.[1] ?? ""),
    $ref: `#/definitions/${type}`,
    definitions: Object.fromEntries(Object.entries(definitions).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function tupleElement(node) {
  return Node.isNamedTupleMember(node) ? node.getTypeNode() : node;
}

function literalValue(node) {
  const literal = node.getLiteral();
  switch (literal.getKind()) {
    case SyntaxKind.TrueKeyword:
      return true;
    case SyntaxKind.FalseKeyword:
      return false;
    case SyntaxKind.NullKeyword:
      return null;
    default:
      return literal.getLiteralValue();
  }
}

function described(declaration, schema) {
  const description = declaration
    .getJsDocs()
    .map((doc) => doc.getDescription().trim())
    .join("\n");
  return description === "" ? schema : { description, ...schema };
}

function firstParagraph(comment) {
  const [paragraph] = comment
    .replaceAll(/^ \* ?/gm, "")
    .trim()
    .split("\n\n");
  return paragraph.replaceAll("\n", " ");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(`${root}schema/manifest.schema.json`, manifestSchema());
  writeFileSync(`${root}schema/bench.schema.json`, benchSchema());
}

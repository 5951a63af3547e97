// Writes schema/manifest.schema.json from the types of src/runtime/manifest.ts, so that the published schema cannot drift from them.
//
// It knows the constructs that the manifest is made of: interfaces, unions, literals, arrays, tuples, records, optional fields. Any
// other is an error. Doc comments become descriptions.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Node, Project, SyntaxKind } from "ts-morph";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The schema as JSON text. */
export function manifestSchema() {
  const project = new Project({ skipAddingFilesFromTsConfig: true });
  const manifest = project.addSourceFileAtPath(`${root}src/runtime/manifest.ts`);
  const expr = project.addSourceFileAtPath(`${root}src/runtime/expr.ts`);
  const definitions = {};

  const define = (name) => {
    if (definitions[name] !== undefined) return;
    const declaration =
      manifest.getInterface(name) ?? manifest.getTypeAlias(name) ?? expr.getTypeAlias(name) ?? expr.getInterface(name);
    if (declaration === undefined) throw new Error(`manifest.schema: no type ${name}`);
    definitions[name] = {};
    const body = Node.isInterfaceDeclaration(declaration)
      ? objectSchema(declaration)
      : typeSchema(declaration.getTypeNodeOrThrow());
    definitions[name] = described(declaration, body);
  };

  const objectSchema = (node) => {
    const properties = {};
    const required = [];
    for (const member of node.getProperties()) {
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
        throw new Error(`manifest.schema: unexpected ${node.getKindName()} in ${node.getText()}`);
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

  define("Manifest");
  const version = manifest.getVariableDeclarationOrThrow("manifestVersion").getInitializerOrThrow().getText();
  definitions.Manifest.properties.version = {
    ...definitions.Manifest.properties.version,
    type: undefined,
    const: Number(version),
  };
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "The manifest of a compiled phdc package",
    description: firstParagraph(manifest.getFullText().match(/\/\*\*([\s\S]*?)\*\//)?.[1] ?? ""),
    $ref: "#/definitions/Manifest",
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

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(`${root}schema/manifest.schema.json`, manifestSchema());

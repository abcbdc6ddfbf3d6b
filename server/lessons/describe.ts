/** Describes schemas and their errors. An error names the field and its meaning. */
import { z } from 'zod';
import { suggest } from './suggest';

type Path = readonly PropertyKey[];

/** The schema without `optional`, `default` and checks around it. */
function inner(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault
    ? inner(schema.def.innerType)
    : schema;
}

/** The schema of a field; undefined when there is none. */
function schemaAt(schema: z.core.$ZodType, path: Path): z.core.$ZodType | undefined {
  const [key, ...rest] = path;
  if (key === undefined) return schema;
  const container = inner(schema);
  let child: z.core.$ZodType | undefined;
  if (container instanceof z.ZodObject) child = (container.shape as z.core.$ZodShape)[String(key)];
  else if (container instanceof z.ZodArray) child = container.def.element;
  else if (container instanceof z.ZodRecord) child = container.def.valueType;
  return child && schemaAt(child, rest);
}

/** A field's meaning, from its schema. */
export function descriptionOf(schema: z.core.$ZodType): string | undefined {
  const described = schema as z.ZodType;
  return described.description ?? (inner(schema) as z.ZodType).description;
}

/** Names of the fields that an object may have. */
export function fieldsOf(schema: z.core.$ZodType): string[] {
  const object = inner(schema);
  return object instanceof z.ZodObject ? Object.keys(object.shape) : [];
}

const spell = (path: Path): string =>
  path.reduce<string>(
    (text, key) =>
      typeof key === 'number' ? `${text}[${key}]` : text === '' ? String(key) : `${text}.${String(key)}`,
    '',
  );

/**
 * Describes zod's issues in whole sentences that say what is wrong and what to do.
 * @param whole what the value is, at the beginning of a sentence: "The front matter"
 * @param isThere whether the value has something at a path
 */
export function describeIssues(
  error: z.ZodError,
  schema: z.ZodType,
  whole: string,
  isThere: (path: Path) => boolean,
): { path: Path; message: string }[] {
  return error.issues.flatMap((issue) => {
    const { path } = issue;
    const field = schemaAt(schema, path);
    const meaning = field && path.length > 0 ? descriptionOf(field) : undefined;
    const named = meaning === undefined ? '' : ` (${meaning})`;
    const parent = path.slice(0, -1);
    const owner = parent.length === 0 ? whole : `${whole}’s \`${spell(parent)}\``;
    if (issue.code === 'unrecognized_keys') {
      const known = field === undefined ? [] : fieldsOf(field);
      const holder = path.length === 0 ? whole : `${whole}’s \`${spell(path)}\``;
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: `${holder} has no field \`${key}\`. ${suggest(key, known)}`,
      }));
    }
    if (path.length === 0) {
      if (issue.code === 'invalid_type')
        return [{ path, message: `${whole} must have the fields ${fieldsOf(schema).join(', ')}.` }];
      return [{ path, message: `${whole} is wrong: ${issue.message}.` }];
    }
    const last = path.at(-1);
    if (!isThere(path) && typeof last === 'string') {
      return [{ path: parent, message: `${owner} lacks \`${last}\`${named}. Add it.` }];
    }
    const reason = issue.code === 'invalid_key' ? issue.issues[0]?.message : undefined;
    return [{ path, message: `${whole}’s \`${spell(path)}\`${named} is wrong: ${reason ?? issue.message}.` }];
  });
}

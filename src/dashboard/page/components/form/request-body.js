// The body of a submit as text, every number as it was typed. Pure.

const step = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');

/** How a field is addressed in `sweep`: by its path, or by the name that a published workflow declares. */
export const addressOf = (workflow, { node, input }) => (workflow.isNamed ? input.name : `${node.id}.${input.name}`);

/** `{params, rest}`: the text of the params of `fields` that say something, and the other members. Throws `FieldError`. */
export function compose(workflow, fields, given, options, sweep) {
  const rest = options.read();
  const axes = sweep.read();
  if (axes.length) {
    const lists = axes.map(({ address, texts }) => `${JSON.stringify(address)}: [${texts.join(', ')}]`);
    rest.sweep = `{${lists.join(', ')}}`;
  }
  const varied = new Set(axes.map(({ address }) => address));
  const params = {};
  const flat = [];
  for (const { node, input, item } of fields) {
    if (varied.has(addressOf(workflow, { node, input }))) continue;
    const wish = item.wish();
    if (wish === null) continue;
    const text = `${JSON.stringify(input.name)}: ${wish}`;
    if (workflow.isNamed) flat.push(text);
    else (params[node.id] ??= []).push(text);
  }
  const nested = Object.entries(params).map(([id, values]) => `${JSON.stringify(id)}: {${values.join(', ')}}`);
  return { params: `{${[...given, ...flat, ...nested].join(', ')}}`, rest };
}

/** Members beside workflow and params; `between` stands before each. A sweep is a text already. */
const members = (rest, between) =>
  Object.entries(rest)
    .map(([name, value]) => `${between}${JSON.stringify(name)}: ${name === 'sweep' ? value : JSON.stringify(value)}`)
    .join('');

export const written = (workflow, { params, rest }) =>
  `{"workflow": ${workflow.text}, "params": ${params}${members(rest, ', ')}}`;

/** For reading: without the graph. */
export const sketched = (workflow, { params, rest }) =>
  `POST /api/tasks\n{"workflow": ${workflow.isNamed ? workflow.text : '{…}'},\n "params": ${params}${members(rest, ',\n ')}}`;

/** The field that a problem of the server is about. */
export const fieldOf = (workflow, fields, { pointer }) =>
  fields.find(({ node, input }) =>
    workflow.isNamed
      ? pointer === `/params/${step(input.name)}`
      : pointer === `/params/${step(node.id)}/${step(input.name)}` ||
        pointer === `/workflow/${step(node.id)}/inputs/${step(input.name)}`,
  );

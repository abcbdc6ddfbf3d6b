/** Lints the course: every rule of the contract that needs no pair. */
import { readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { Node, Parents, Root } from 'mdast';
import type { MdxJsxFlowElement, MdxJsxTextElement } from 'mdast-util-mdx-jsx';
import { toString } from 'mdast-util-to-string';
import { visitParents } from 'unist-util-visit-parents';
import type { Lesson } from '../lessons/lesson';
import { lessonHash, recordedRun } from '../lessons/recording';
import {
  diagnosticsInto,
  sortDiagnostics,
  type Diagnostic,
  type ReportDiagnostic,
} from '../lessons/diagnostics';
import { suggest } from '../lessons/suggest';
import { lintFigure } from './figures';
import { lessonPath, talkPath, type Course, type Draft } from './course';
import { lintGenerated } from './generated';
import { findInProse, findTerms, findTermsInTree } from './prose';
import { findSilentFailures, findSyntaxErrors } from './scripts';

/** Elements that Markdown has no syntax for and that code hosts show too. */
const htmlElements = ['details', 'summary', 'kbd', 'sub', 'sup', 'br'];
/** A lesson with fewer questions gets a warning. */
const wantedQuestions = 2;
const clinicPart = 8;

type Element = MdxJsxFlowElement | MdxJsxTextElement;

const isElement = (node: Node): node is Element =>
  node.type === 'mdxJsxFlowElement' || node.type === 'mdxJsxTextElement';

const summaryOf = (details: Element): string | undefined => {
  const find = (nodes: readonly Node[]): Node | undefined =>
    nodes
      .flatMap((node) => (node.type === 'paragraph' ? (node as Parents).children : [node]))
      .find((node) => isElement(node) && node.name === 'summary');
  const summary = find(details.children);
  return summary === undefined ? undefined : toString(summary).trim();
};

const enclosingSummary = (ancestors: readonly Node[]): string | undefined =>
  ancestors
    .flatMap((node) => (isElement(node) && node.name === 'details' ? (summaryOf(node) ?? '') : []))
    .at(-1);

function checkLink(url: string, draft: Draft, course: Course): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(url)) {
    if (!/^https?:/i.test(url)) return `\`${url}\` is not an http or https address.`;
    return URL.canParse(url) ? undefined : `\`${url}\` is not an address.`;
  }
  if (url.startsWith('//') || url.startsWith('/'))
    return `\`${url}\` does not work on a code host. Link to a lesson as ../<id>/lesson.mdx.`;
  const [path = '', anchor] = url.split('#');
  let target: Draft | undefined = draft;
  if (path !== '') {
    const match = /^\.\.\/([^/]+)\/lesson\.mdx$/.exec(path);
    if (!match)
      return `\`${url}\` does not work on the page. Link to a lesson as ../<id>/lesson.mdx, or to a web address.`;
    const ids = course.drafts.map(({ id }) => id);
    target = course.drafts.find(({ id }) => id === match[1]);
    if (!target) return `There is no lesson \`${match[1] ?? ''}\`. ${suggest(match[1] ?? '', ids)}`;
  }
  const anchors = target.sections.map((section) => section.id);
  if (anchor === undefined || anchors.includes(anchor)) return undefined;
  return `There is no heading of level 2 with the id \`${anchor}\` in ${lessonPath(target.id)}. ${suggest(anchor, anchors)}`;
}

function lintTree(tree: Root, draft: Draft, course: Course, report: ReportDiagnostic): void {
  const lineOf = (node: Node): number => node.position?.start.line ?? 1;
  visitParents(tree, (node) => {
    const line = lineOf(node);
    switch (node.type) {
      case 'heading':
        if (node.depth === 1) report(line, 'Begin headings at level 2: the title is in the front matter.');
        break;
      case 'link':
      case 'definition': {
        const error = checkLink(node.url, draft, course);
        if (error !== undefined) report(line, error);
        break;
      }
      case 'image': {
        const { url, alt } = node;
        if (!alt?.trim())
          report(
            line,
            `The figure \`${url}\` has no alternative text. Describe in the brackets what it shows.`,
          );
        else if (alt.includes(posix.basename(url)) || alt.trim().split(/\s+/).length < 3)
          report(
            line,
            `“${alt}” does not say what the figure \`${url}\` shows. Describe what a reader would see.`,
          );
        if (!/^[\w-]+\.svg$/.test(url))
          report(
            line,
            `\`${url}\` is not a figure. Use an SVG file in the lesson’s folder, named with letters, digits and dashes.`,
          );
        else if (!draft.files.includes(url)) report(line, `There is no file lessons/${draft.id}/${url}.`);
        break;
      }
      case 'imageReference':
        report(line, 'Write figures as ![what it shows](figure.svg).');
        break;
      case 'html':
      case 'mdxjsEsm':
        report(line, 'A lesson is plain Markdown, without imports and exports.');
        break;
      case 'mdxFlowExpression':
      case 'mdxTextExpression':
        if (!/^\s*\/\*[\s\S]*\*\/\s*$/.test(node.value))
          report(line, 'A lesson is plain Markdown, without expressions. Put a literal `{` in a code span.');
        break;
      case 'mdxJsxFlowElement':
      case 'mdxJsxTextElement': {
        const { name } = node;
        if (name === null || !htmlElements.includes(name))
          report(
            line,
            `A lesson must not contain \`<${name ?? ''}>\`. Choose from: ${htmlElements.join(', ')}.`,
          );
        else if (name === 'details' && !summaryOf(node))
          report(
            line,
            'These <details> have no summary. Begin with <summary>Hint</summary>, or with what they contain.',
          );
        break;
      }
    }
    if (node.type === 'text' || node.type === 'code') {
      const todo = node.value.split('\n').findIndex((text) => text.includes('TODO'));
      if (todo >= 0) report(line + todo + (node.type === 'code' ? 1 : 0), 'A TODO is left here.', 'warning');
    }
  });
  const solves = new Set(draft.lesson?.steps.flatMap((step) => step.solves.map((solve) => solve.line)));
  visitParents(tree, 'code', (node, ancestors) => {
    if (solves.has(lineOf(node)) && enclosingSummary(ancestors) !== 'Solution')
      report(
        lineOf(node),
        'The solution is visible to everyone. Put it in <details><summary>Solution</summary>.',
      );
  });
  if (draft.lesson?.part === clinicPart) lintClinic(tree, draft, draft.lesson, report);
}

function lintClinic(tree: Root, { sections }: Draft, lesson: Lesson, report: ReportDiagnostic): void {
  for (const step of lesson.steps) {
    const section = sections.find(({ id }) => id === step.id);
    const summaries: string[] = [];
    visitParents(
      { type: 'root', children: tree.children.slice(section?.from, section?.to) } satisfies Root,
      (node) => {
        if (isElement(node) && node.name === 'details') summaries.push(summaryOf(node) ?? '');
      },
    );
    if (!summaries.includes('Hint'))
      report(
        step.line,
        `“${step.title}” has no <details><summary>Hint</summary>. Each step of a clinic lesson needs at least one hint.`,
      );
    if (step.solves.length === 0)
      report(
        step.line,
        `“${step.title}” has no solve block. Each step of a clinic lesson needs one in its solution.`,
      );
  }
}

/** Lints the front matter: its prose and its slides. */
function lintFrontMatter({ frontMatter }: Draft, course: Course, report: ReportDiagnostic): void {
  if (!frontMatter) return;
  const { value, lineOf } = frontMatter;
  const texts: [path: PropertyKey[], text: string][] = [
    [['title'], value.title],
    [['summary'], value.summary],
    ...value.outcomes.map((text, index): [PropertyKey[], string] => [['outcomes', index], text]),
    ...value.sources.map(({ what }, index): [PropertyKey[], string] => [['sources', index, 'what'], what]),
  ];
  for (const [path, text] of texts) {
    const line = lineOf(path);
    for (const { message } of findTerms(text, line, course.terms)) report(line, message);
    if (text.includes('TODO')) report(line, 'A TODO is left here.', 'warning');
  }
  for (const slide of Object.keys(value.slides)) {
    const known = course.slides.find(({ number }) => number === Number(slide));
    const line = lineOf(['slides', slide]);
    if (!known) report(line, `The talk has no slide ${slide}. ${talkPath} lists its slides.`);
    else if (known.noStep !== undefined)
      report(
        line,
        `${talkPath} says that slide ${slide}, “${known.title}”, has nothing to do by hand. Correct one of them.`,
      );
  }
}

/** Lints the lesson's position in the course and the lessons that it builds on. */
function lintPlace({ id, frontMatter, lesson }: Draft, course: Course, report: ReportDiagnostic): void {
  if (!frontMatter || !lesson) return;
  const { value, lineOf } = frontMatter;
  const before = course.lessons.slice(0, course.lessons.indexOf(lesson));
  const sameplace = before.find(({ part, order }) => part === value.part && order === value.order);
  if (sameplace)
    report(
      lineOf(['order']),
      `${lessonPath(sameplace.id)} is already number ${value.order} of part ${value.part}.`,
    );
  for (const [index, other] of value['builds-on'].entries()) {
    const line = lineOf(['builds-on', index]);
    const ids = course.drafts.map((draft) => draft.id);
    if (!ids.includes(other)) report(line, `There is no lesson \`${other}\`. ${suggest(other, ids)}`);
    else if (other === id) report(line, 'A lesson cannot build on itself.');
    else if (course.lessons.some((one) => one.id === other) && !before.some((one) => one.id === other))
      report(
        line,
        `\`${other}\` comes after this lesson. Change the order of the course, or do not build on it.`,
      );
  }
}

function lintChecks(lesson: Lesson, report: ReportDiagnostic): void {
  for (const { text, line } of lesson.steps.flatMap((step) => step.checks)) {
    for (const found of findSilentFailures(text)) report(line + found.line, found.message);
  }
}

async function lintScripts(lesson: Lesson, report: ReportDiagnostic): Promise<void> {
  const values = lesson.values.map(({ name }) => name);
  const blocks = [
    ...lesson.setups,
    ...lesson.files,
    ...lesson.values,
    ...lesson.steps.flatMap(({ runs, checks, solves }) => [...runs, ...checks, ...solves]),
  ];
  await Promise.all(
    blocks.map(async ({ text, line }) => {
      for (const found of await findSyntaxErrors(text, values)) report(line + found.line, found.message);
    }),
  );
}

function lintQuestions({ blocks }: Draft, report: ReportDiagnostic): void {
  const questions = blocks.filter(({ kind }) => kind === 'quiz').length;
  if (questions < wantedQuestions)
    report(
      1,
      `The lesson asks ${questions} questions. Two or three quiz blocks let learners see what they have understood.`,
      'warning',
    );
}

/** Warns of what no recorded test has run as it is now. A lesson with a TODO needs no recording. */
function lintRecording(
  { id, recording, source }: Draft,
  lesson: Lesson,
  image: string,
  report: ReportDiagnostic,
): void {
  if (source.includes('TODO')) return;
  const how = `Record it: npm run lessons -- record ${id}`;
  if (!recording) {
    report(1, `No recorded test has run this lesson. ${how}`, 'warning');
    return;
  }
  let isTested = true;
  for (const step of lesson.steps) {
    for (const [index, run] of step.runs.entries()) {
      if (recordedRun(recording, step.id, index, run)) continue;
      isTested = false;
      report(run.line, `No recorded test has run this command as it is now. ${how}`, 'warning');
    }
  }
  if (isTested && recording.lesson !== lessonHash(lesson))
    report(1, `Set-up, checks or solutions have changed since the recording. ${how}`, 'warning');
  else if (isTested && recording.image !== image)
    report(1, `The recording was made on another host image. ${how}`, 'warning');
}

async function lintDraft(draft: Draft, course: Course): Promise<Diagnostic[]> {
  const diagnostics = [...draft.diagnostics];
  const report = diagnosticsInto(diagnostics, lessonPath(draft.id));
  lintFrontMatter(draft, course, report);
  lintPlace(draft, course, report);
  if (draft.tree) {
    lintTree(draft.tree, draft, course, report);
    lintQuestions(draft, report);
    for (const { line, message } of findTermsInTree(draft.tree, course.terms)) report(line, message);
    for (const { line, message } of await findInProse(draft.tree, draft.source)) report(line, message);
  }
  if (draft.lesson) {
    lintChecks(draft.lesson, report);
    await lintScripts(draft.lesson, report);
    lintRecording(draft, draft.lesson, course.image, report);
  }
  for (const figure of draft.files.filter((name) => /^[^/]+\.svg$/.test(name))) {
    const path = posix.join('lessons', draft.id, figure);
    const text = await readFile(join(course.root, path), 'utf8');
    const reportFigure = diagnosticsInto(diagnostics, path);
    for (const { line, message } of lintFigure(text)) reportFigure(line, message);
    if (!draft.source.includes(`](${figure})`))
      reportFigure(1, 'The lesson does not show this figure. Show it or remove it.');
  }
  return diagnostics;
}

/** Warns of slides of the talk that no lesson covers. */
function lintSlides(course: Course): Diagnostic[] {
  const done = new Set(course.lessons.flatMap(({ slides }) => Object.keys(slides).map(Number)));
  const missing = course.slides.filter(({ number, noStep }) => noStep === undefined && !done.has(number));
  if (missing.length === 0) return [];
  const message = `No lesson covers these slides: ${missing.map(({ number }) => number).join(', ')}.`;
  return [{ file: talkPath, line: 1, level: 'warning', message }];
}

/**
 * Lints the course.
 * @param only ids of the lessons to lint; the whole course when empty
 */
export async function lintCourse(course: Course, only: readonly string[] = []): Promise<Diagnostic[]> {
  const drafts = course.drafts.filter(({ id }) => only.length === 0 || only.includes(id));
  const diagnostics = (await Promise.all(drafts.map((draft) => lintDraft(draft, course)))).flat();
  if (only.length === 0) {
    diagnostics.push(...course.diagnostics, ...lintSlides(course), ...(await lintGenerated(course)));
  }
  return sortDiagnostics(diagnostics);
}

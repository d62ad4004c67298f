import { PageMetaView } from '../common/page.view.js';
import { versionOf } from '../common/version.js';
import { auditedProject } from './audited-project.js';
import type { Project } from './project.entity.js';

/** A project, and how many keys are in it. */
export interface CountedProject {
  readonly project: Project;
  /** Keys that are not revoked. */
  readonly keys: number;
}

/** Keys that belong together, of any owners. */
export class ProjectView {
  /** @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /**
   * Version of the project, to be sent as `If-Match: "<version>"` with a change.
   * @example "p3yQyJkYbQ7mUq0c"
   */
  version: string;

  /** @example "Search" */
  name: string;

  /** @example "Search on the web site and in the apps" */
  description: string;

  /**
   * Keys in it that are not revoked.
   * @example 12
   */
  keyCount: number;

  createdAt: Date;

  updatedAt: Date;

  /** Lists the fields that may leave. */
  static from({ project, keys }: CountedProject): ProjectView {
    return {
      id: project.id,
      version: versionOf(auditedProject(project)),
      name: project.name,
      description: project.description,
      keyCount: keys,
      createdAt: project.createdAt,
      updatedAt: project.updatedAt,
    };
  }
}

/** A page of projects, in order of name. */
export class ProjectsPageView {
  data: ProjectView[];
  meta: PageMetaView;
}

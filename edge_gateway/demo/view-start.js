// Starting a conversation: with whom, about what, the first message.

import { h, icon, iconButton } from './dom.js';
import { roleName } from './format.js';
import { newId } from './session.js';
import { Composer } from './view-composer.js';

const NO_JOB = '';

const select = (node) => h('span', { class: 'select' }, node, icon('down'));

export class StartView {
  /** `on`: {start(userId, job, message) -> Promise, back()}. */
  constructor(person, people, on, paneId) {
    this.person = person;
    this.on = on;
    this.people = people.filter(
      (each) => each.userId !== person.userId && !(person.role === 'candidate' && each.role === 'candidate'),
    );
    this.to = h('select', { id: `${paneId}-to`, onchange: () => this.renderJobs() }, this.options());
    this.job = h('select', { id: `${paneId}-job` });
    this.problem = h('p', { class: 'form-problem', role: 'alert' });
    this.composer = new Composer({ label: 'First message', onsend: (text) => this.send(text) });
    this.node = h(
      'section',
      { class: 'start', 'aria-label': 'New message' },
      h(
        'header',
        { class: 'thread-head' },
        iconButton('back', 'Back to the list', on.back, { class: 'icon-button back' }),
        h('h2', {}, 'New message'),
      ),
      h(
        'div',
        { class: 'fields' },
        h('label', { for: this.to.id }, 'To'),
        select(this.to),
        h('label', { for: this.job.id }, 'About'),
        select(this.job),
      ),
      h(
        'p',
        { class: 'hint' },
        'A first message arrives as a request. The conversation opens when it is accepted.',
      ),
      h('div', { class: 'thread-foot' }, this.problem, this.composer.node),
    );
    this.renderJobs();
  }

  options() {
    const roles = [...new Set(this.people.map((each) => each.role))];
    return roles.map((role) =>
      h(
        'optgroup',
        { label: roleName(role) },
        this.people
          .filter((each) => each.role === role)
          .map((each) =>
            h(
              'option',
              { value: each.userId },
              each.orgName ? `${each.displayName} · ${each.orgName}` : each.displayName,
            ),
          ),
      ),
    );
  }

  show(userId) {
    if (userId && this.people.some((each) => each.userId === userId)) this.to.value = userId;
    this.problem.textContent = '';
    this.renderJobs();
    this.composer.field.focus();
  }

  /** Jobs of either side can be written about. */
  renderJobs() {
    const other = this.people.find((each) => each.userId === this.to.value);
    this.jobs = [
      ...new Map([...this.person.jobs, ...(other?.jobs ?? [])].map((job) => [job.jobId, job])).values(),
    ];
    this.job.replaceChildren(
      ...this.jobs.map((job) => h('option', { value: job.jobId }, job.jobTitle)),
      h('option', { value: NO_JOB }, 'No particular job'),
    );
  }

  send(text) {
    const job = this.jobs.find((each) => each.jobId === this.job.value) ?? null;
    // The same words to the same person keep their key: sent again after a lost answer, they arrive once.
    const what = JSON.stringify([this.to.value, job, text]);
    if (this.attempted?.what !== what) this.attempted = { what, clientMessageId: newId() };
    this.problem.textContent = '';
    this.composer.button.disabled = true;
    this.on.start(this.to.value, job, { clientMessageId: this.attempted.clientMessageId, text }).then(
      () => {
        this.attempted = null;
        this.composer.text = '';
      },
      (problem) => {
        this.problem.textContent = problem.message;
        this.composer.fit();
      },
    );
    return false;
  }
}

export class Library { constructor(app) {} enter() {} leave() {} values() { return {}; } draw() {} get title() { return ''; } }

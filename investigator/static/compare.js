export class Compare { constructor(app) {} enter() {} leave() {} values() { return {}; } draw() {} get title() { return ''; } }

"""What to do about a part of the run that fell away; pure logic, without Ray."""

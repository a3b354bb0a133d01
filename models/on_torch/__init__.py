"""What engines that run models through torch have in common."""

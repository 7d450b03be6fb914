"""What exactly will a loop run? One flat, frozen `LoopPlan`."""
